"""The report in a real browser: loads nothing, filters, keeps its state, runs no foreign code."""

from __future__ import annotations

import pytest
from support.report import hostile, many_layers, session

from pytest_initcheck.records import SessionRecord

pytestmark = pytest.mark.browser


def test_opening_everything_loads_nothing_and_breaks_nothing(show):
    seen = show(session())
    seen.open_all()
    assert seen.faults == []
    assert seen.foreign() == []
    assert seen.page.locator("svg.h").count() > 20


def test_the_policy_forbids_every_request_and_foreign_script(show):
    seen = show(session())
    ran = seen.page.evaluate(
        """async () => {
          const script = document.createElement('script');
          script.textContent = 'window.foreign = 1';
          document.body.append(script);
          const image = new Image();
          image.src = 'http://192.0.2.1/x.png';
          document.body.append(image);
          let fetched = true;
          try { await fetch('http://192.0.2.1/x') } catch { fetched = false }
          return [window.foreign ?? 0, fetched];
        }"""
    )
    assert ran == [0, False]


def test_a_test_is_built_when_it_is_opened(show):
    seen = show(many_layers(100), "deep")
    assert seen.page.locator("svg.h").count() == 0
    nodes = seen.page.evaluate("document.querySelectorAll('*').length")
    assert nodes < 250
    seen.page.locator("article.test summary").first.click()
    seen.page.locator("details.layers > summary").click()
    seen.page.locator(".layer-table tbody tr").first.wait_for()
    assert seen.page.locator(".layer-table tbody tr").count() == 100
    assert seen.page.locator("svg.h").count() == 0
    seen.page.locator("details.layers details summary").nth(50).click()
    seen.page.locator("svg.h").first.wait_for()
    assert seen.page.locator("svg.h").count() == 3
    assert seen.faults == []


def test_the_first_screen_tells_what_to_act_on(show):
    seen = show(session())
    card = seen.page.locator(".card").first
    text = card.inner_text()
    for words in ("test_deep_variant", "saturated units", "layers.3", "Linear", "256 × 256",
                  "0.97, allowed at most 0.5", "flat ends", "draw the weights from"):  # fmt: skip
        assert words in text
    assert card.locator("svg.gauge").get_attribute("aria-label").startswith("measured 0.97")
    assert seen.page.locator(".card").count() == 4
    change = seen.page.locator(".card .change").inner_text()
    assert "baseline 0.0512 → now 0.0661" in change
    assert "vanishing" not in text, "a warning is nothing to act on"


def test_fixes_and_commands_are_copied(show, browser):
    seen = show(session(), permissions=["clipboard-read", "clipboard-write"])
    card = seen.page.locator(".card").first
    for label, words in {
        "Copy fix": "draw the weights from N(0, 1/fan_in), here a standard deviation of 0.036",
        "Copy rerun command": "pytest suites/test_initialisation.py::test_deep_variant",
    }.items():
        card.get_by_role("button", name=label).click()
        card.get_by_text("Copied").first.wait_for()
        assert seen.page.evaluate("navigator.clipboard.readText()") == words
    accept = seen.page.get_by_role("button", name="Copy the command that accepts it")
    accept.click()
    seen.page.wait_for_timeout(50)
    copied = seen.page.evaluate("navigator.clipboard.readText()")
    assert copied == "pytest 'suites/test_sigma.py::test_sigma[0.1]' --initcheck-update"


def test_the_strip_leads_to_the_layer(show):
    seen = show(session())
    card = seen.page.locator(".card").first
    label = card.locator("svg.strip").get_attribute("aria-label")
    assert label == "9 layers, 4 with findings, trouble begins at layers.3"
    card.get_by_role("button", name="layers.3").click()
    row = seen.page.locator("tr.here")
    row.wait_for()
    assert "layers.3" in row.inner_text()
    assert row.bounding_box()["y"] < 900


def test_a_test_tells_findings_first_and_the_raw_message_last(show):
    seen = show(session())
    test = seen.open_test("test_deep_variant")
    text = test.locator(".body").inner_text()
    order = ["saturated units", "activation std", "There is no stored baseline",
             "Histograms of the layers with findings", "All layers", "Curves",
             "The message as pytest printed it"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_newcomer_is_told_what_a_rule_means(show):
    seen = show(session())
    test = seen.open_test("test_deep_variant")
    assert test.get_by_text("A rectified unit that is off for every sample").count() == 1


def test_expected_faults_are_quiet(show):
    from dataclasses import replace

    bad = next(test for test in session().tests if test.nodeid.endswith("bad_sigmas_are_found"))
    entries = tuple(replace(entry, expected="expect=IC301") for entry in bad.entries)
    seen = show(SessionRecord(1, {}, (replace(bad, entries=entries),)), "expected")
    assert seen.page.locator("h1").inner_text() == "The test passed"
    assert seen.page.locator(".card, .v-fail, .v-failed").count() == 0
    assert "1 expected fault" in seen.page.locator(".aside").inner_text()
    seen.open_all()
    assert seen.page.locator(".findings.quieted li").count() == 1
    tone = "e => getComputedStyle(e).color"
    sev = seen.page.locator(".quieted .sev").first.evaluate(tone)
    assert sev == seen.page.locator(".aside").evaluate(tone)


def test_verdict_and_comparison_filter_apart_and_together(show):
    seen = show(session())
    assert len(seen.shown()) == 7
    tools = seen.page.locator(".tools")
    tools.locator("[data-axis=state][data-value=fail]").click()
    assert seen.shown() == ["test_deep_variant", "test_bad_sigmas_are_found"]
    tools.locator("[data-axis=comparison][data-value=match]").click()
    assert seen.shown() == ["test_bad_sigmas_are_found"]
    assert seen.page.locator("#shown").inner_text() == "1 of 7 tests"
    tools.locator("[data-axis=state][data-value=fail]").click()
    assert len(seen.shown()) == 3
    seen.page.locator("#reset").click()
    assert len(seen.shown()) == 7
    assert seen.faults == []


def test_the_summary_counts_are_filters_and_equal_what_they_show(show):
    seen = show(session())
    for button in seen.page.locator(".summary .count").all():
        button.click()
        assert len(seen.shown()) == int(button.locator("b").inner_text())
        assert button.get_attribute("aria-pressed") == "true"
        button.click()


def test_search_finds_tests_layers_findings_and_remedies(show):
    seen = show(session())
    for words, names in {
        "sigma[0.1]": ["test_sigma[0.1]"],
        "IC401": ["test_deep_variant"],
        "layer4.1.conv2": ["test_resnet_starts_well"],
        "he initialisation": ["test_deep_variant"],
        "Hidden saturated": ["test_bad_sigmas_are_found"],
        "nothing like it": [],
    }.items():
        seen.page.fill("#q", words)
        seen.page.wait_for_timeout(60)
        assert seen.shown() == names
    assert seen.page.locator("#none").is_visible()


def test_the_address_keeps_and_restores_the_state(show):
    seen = show(session())
    seen.page.locator(".tools [data-axis=state][data-value=pass]").click()
    seen.page.locator(".tools [data-axis=comparison][data-value=changed]").click()
    seen.page.fill("#q", "sigma[0.1]")
    seen.page.select_option("#sort", "slow")
    seen.page.select_option("#scale", "log")
    seen.page.wait_for_timeout(60)
    again = show(session(), hash=seen.hash())
    assert again.shown() == seen.shown() == ["test_sigma[0.1]"]
    assert again.page.input_value("#q") == "sigma[0.1]"
    assert again.page.input_value("#sort") == "slow"
    assert again.page.input_value("#scale") == "log"
    pressed = again.page.locator(".tools [aria-pressed=true]").all_inner_texts()
    assert pressed == ["pass", "changed"]


@pytest.mark.parametrize(
    "hash", ["#%", "#q=%E0%A4%A", "#state=<script>", "#sort=x&scale=y&at=z", "#="]
)
def test_a_broken_address_is_harmless(show, hash):
    seen = show(session(), hash=hash)
    assert seen.faults == []
    shown = seen.page.locator("#none" if "q=" in hash else "article.test >> nth=0")
    assert shown.is_visible()


def test_it_works_in_the_frame_of_a_notebook(show, tmp_path):
    import html

    from pytest_initcheck import report

    frame = tmp_path / "frame.html"
    inner = html.escape(report.render(session()))
    frame.write_text(
        f'<iframe srcdoc="{inner}" sandbox="allow-scripts" width="900" height="700"></iframe>',
        encoding="utf-8",
    )
    seen = show(session())
    seen.page.goto(frame.as_uri())
    inside = seen.page.frame_locator("iframe")
    inside.locator(".tools [data-axis=state][data-value=fail]").click()
    assert inside.locator("#shown").inner_text() == "2 of 7 tests"
    inside.locator(".card h3 a").first.click()
    inside.locator("article.test.here .body").wait_for()
    assert [fault for fault in seen.faults if "Error" in fault] == []


def test_sorting_reorders_the_tests(show):
    seen = show(session())
    seen.page.select_option("#sort", "slow")
    assert seen.shown()[:2] == ["test_bad_sigmas_are_found", "test_sigma[0.1]"]
    seen.page.select_option("#sort", "run")
    assert seen.shown()[:2] == ["test_resnet_starts_well", "test_deep_variant"]
    seen.page.select_option("#sort", "worst")
    assert seen.shown()[0] == "test_deep_variant"


def test_a_link_opens_its_test_even_when_it_is_filtered_out(show):
    seen = show(session())
    seen.page.fill("#q", "nothing like it")
    seen.page.locator(".card h3 a").first.click()
    test = seen.page.locator("article.test.here")
    assert test.locator("h3 .name").inner_text() == "test_deep_variant"
    assert test.locator(".body").is_visible()
    again = show(session(), hash=seen.hash())
    assert again.page.locator("article.test.here .body").is_visible()
    plain = show(session(), hash="#" + test.get_attribute("id"))
    assert plain.page.locator("article.test.here .body").is_visible()


def test_the_back_button_goes_back_to_the_filter(show):
    seen = show(session())
    seen.page.fill("#q", "sigma")
    seen.page.wait_for_timeout(60)
    seen.page.locator(".card h3 a").first.click()
    seen.page.go_back()
    assert seen.page.input_value("#q") == "sigma"
    assert len(seen.shown()) == 2


def test_the_keyboard_reaches_and_opens_everything(show):
    seen = show(session())
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.className") == "skip"
    seen.page.keyboard.press("/")
    assert seen.page.evaluate("document.activeElement.id") == "q"
    seen.page.locator(".tools [data-value=fail][data-axis=state]").focus()
    seen.page.keyboard.press("Space")
    assert len(seen.shown()) == 2
    seen.page.locator("article.test summary").first.focus()
    seen.page.keyboard.press("Enter")
    seen.page.locator("article.test .body").first.wait_for()


def test_what_is_open_stays_open_through_filters(show):
    seen = show(session())
    test = seen.open_test("test_deep_variant")
    drawn = test.locator("svg.h").count()
    assert drawn > 3
    seen.page.fill("#q", "sigma")
    seen.page.wait_for_timeout(60)
    seen.page.locator("#reset").click()
    assert seen.page.locator("article.test").first.locator("svg.h").count() == drawn


def test_hostile_strings_and_pictures_stay_inert(show):
    seen = show(hostile(), "hostile")
    seen.open_all()
    for image in seen.page.locator("img").all():
        image.scroll_into_view_if_needed()
    seen.page.wait_for_timeout(300)
    assert seen.page.evaluate("window.hacked ?? null") is None
    assert seen.faults == []
    assert seen.foreign() == []
    assert seen.page.locator("script").count() == 2
    assert "<script>" in seen.page.locator("h3 .name").first.inner_text()
    assert seen.page.locator("svg.h").count() >= 12
    seen.page.fill("#q", "<script>")
    assert len(seen.shown()) == 1


def test_names_are_isolated_from_what_stands_around_them(show):
    seen = show(hostile(), "hostile")
    seen.open_all()
    loose = seen.page.evaluate(
        """() => {
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
          while (walker.nextNode()) {
            const parent = walker.currentNode.parentElement;
            if (!walker.currentNode.data.includes('hacked')) continue;
            if (parent.closest('bdi, pre, script, noscript, svg, .filter, .hidden, #tip')) continue;
            found.push(parent.outerHTML.slice(0, 120));
          }
          return found;
        }"""
    )
    assert [html for html in loose if "aside" not in html] == []


def test_without_scripts_verdicts_and_findings_can_be_read(show):
    seen = show(session(), java_script_enabled=False)
    assert seen.page.locator(".tools").is_hidden()
    items = seen.page.locator(".static > li")
    assert items.count() == 7
    first = items.first.inner_text()
    for words in ("test_deep_variant failed, health fail, baseline missing", "IC301",
                  "layer layers.3 (Linear 256 × 256), also in layers.4", "Fix: draw the weights",
                  "0.97, allowed at most 0.5"):  # fmt: skip
        assert words in first


@pytest.mark.parametrize("record", [session, hostile])
def test_no_width_makes_the_page_scroll_sideways(show, record):
    seen = show(record(), {session: "page", hostile: "hostile"}[record])
    seen.open_all()
    for width in (320, 390, 1200):
        seen.page.set_viewport_size({"width": width, "height": 800})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_print_clips_no_table_and_holds_every_test(show):
    seen = show(session())
    seen.open_test("test_deep_variant")
    seen.page.emulate_media(media="print")
    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(seen.shown()) == 7
    assert seen.page.locator(".tools").is_hidden()
    seen.page.set_viewport_size({"width": 720, "height": 1000})
    clipped = """() => [...document.querySelectorAll('.scroll, .message')]
        .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
        .map((e) => `${e.getAttribute('aria-label')} ${e.scrollWidth} ${e.clientWidth}`)"""
    assert seen.page.evaluate(clipped) == []


def test_an_empty_session_says_what_to_do(show):
    seen = show(SessionRecord(1, {}), "empty")
    assert "initcheck.diagnose" in seen.page.locator("main").inner_text()
    assert seen.page.locator("#none").is_hidden()
    assert seen.faults == []
