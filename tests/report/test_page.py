"""The report in a real browser: loads nothing, filters, restores its state, runs no foreign code.

Needs Debian's ``chromium`` (or the path in CHROMIUM) and the Python package ``playwright``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.report import hostile, many_layers, session

from pytest_initcheck import report
from pytest_initcheck.records import SessionRecord

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.browser
MISSING = "the browser tests need chromium and playwright (apt-get install chromium)"


def _give_up(reason: object) -> None:
    # In CI a missing browser must not look like a tested page.
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"{MISSING}: {reason}")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        _give_up(error)
    if not Path(CHROMIUM).exists():
        _give_up(f"{CHROMIUM} does not exist")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


class Watched:
    """A page that keeps what went wrong on it and what it asked the network for."""

    def __init__(self, context, file: Path, hash: str = "") -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.faults.append(m.text))
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("dialog", lambda d: (self.faults.append(d.message), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.url = file.as_uri()
        self.page.goto(self.url + hash)

    def shown(self) -> list[str]:
        return self.page.locator("article.test:visible h3 .name").all_inner_texts()

    def hash(self) -> str:
        return self.page.evaluate("location.hash")

    def foreign(self) -> list[str]:
        return [r for r in self.requests if not r.startswith(("data:", self.url))]


@pytest.fixture
def show(browser, folder):
    contexts = []

    def show(record: SessionRecord, name: str = "page", hash: str = "", **options) -> Watched:
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        contexts.append(context)
        file = folder / f"{name}.html"
        if not file.exists():
            report.write(record, file)
        return Watched(context, file, hash)

    yield show
    for context in contexts:
        context.close()


def open_all(page) -> None:
    """Open everything and bring every chart near the window once."""
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")


def test_opening_everything_loads_nothing_and_breaks_nothing(show):
    seen = show(session())
    open_all(seen.page)
    seen.page.wait_for_timeout(200)
    assert seen.faults == []
    assert seen.foreign() == []
    assert seen.page.locator("svg.h").count() > 20
    assert seen.page.locator(".late noscript").count() == 0


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


def test_charts_wait_until_they_come_near_the_window(show):
    seen = show(many_layers(100), "deep")
    assert seen.page.locator("svg.h").count() == 0
    seen.page.locator("article.test > details > summary").click()
    seen.page.locator("details.layers > summary").click()
    seen.page.locator(".late.hists").nth(50).scroll_into_view_if_needed()
    seen.page.locator(".late.hists").nth(50).locator("svg.h").first.wait_for()
    assert 3 <= seen.page.locator("svg.h").count() < 100
    assert seen.faults == []


def test_verdict_and_comparison_filter_apart_and_together(show):
    seen = show(session())
    assert len(seen.shown()) == 7
    tools = seen.page.locator(".tools")
    tools.locator("[data-axis=verdict][data-value=fail]").click()
    assert seen.shown() == ["test_deep_variant", "test_bad_sigmas_are_found"]
    tools.locator("[data-axis=comparison][data-value=match]").click()
    assert seen.shown() == ["test_bad_sigmas_are_found"]
    assert seen.page.locator("#shown").inner_text() == "1 of 7 tests"
    tools.locator("[data-axis=verdict][data-value=fail]").click()
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


def test_search_finds_tests_layers_and_findings(show):
    seen = show(session())
    for words, names in {
        "sigma[0.1]": ["test_sigma[0.1]"],
        "IC401": ["test_deep_variant"],
        "Hidden saturated": ["test_bad_sigmas_are_found"],
        "nothing like it": [],
    }.items():
        seen.page.fill("#q", words)
        assert seen.shown() == names
    assert seen.page.locator("#none").is_visible()


def test_the_address_keeps_and_restores_the_state(show):
    seen = show(session())
    seen.page.locator(".tools [data-axis=verdict][data-value=pass]").click()
    seen.page.locator(".tools [data-axis=comparison][data-value=changed]").click()
    seen.page.fill("#q", "sigma & co #1=2")
    seen.page.fill("#q", "sigma[0.1]")
    seen.page.select_option("#sort", "slow")
    seen.page.select_option("#scale", "log")
    again = show(session(), hash=seen.hash())
    assert again.shown() == seen.shown() == ["test_sigma[0.1]"]
    assert again.page.input_value("#q") == "sigma[0.1]"
    assert again.page.input_value("#sort") == "slow"
    assert again.page.input_value("#scale") == "log"
    pressed = again.page.locator(".tools [aria-pressed=true]").all_inner_texts()
    assert pressed == ["pass", "changed"]


@pytest.mark.parametrize(
    "hash", ["#%", "#q=%E0%A4%A", "#verdict=<script>", "#sort=x&scale=y&at=z", "#="]
)
def test_a_broken_address_is_harmless(show, hash):
    seen = show(session(), hash=hash)
    assert seen.faults == []
    shown = seen.page.locator("#none" if "q=" in hash else "article.test >> nth=0")
    assert shown.is_visible()


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
    seen.page.locator(".worst a").first.click()
    test = seen.page.locator("article.test.here")
    assert test.locator(".name").inner_text() == "test_deep_variant"
    assert test.locator(".body").is_visible()
    again = show(session(), hash=seen.hash())
    assert again.page.locator("article.test.here .body").is_visible()
    plain = show(session(), hash="#" + test.get_attribute("id"))
    assert plain.page.locator("article.test.here .body").is_visible()


def test_the_back_button_goes_back_to_the_filter(show):
    seen = show(session())
    seen.page.fill("#q", "sigma")
    seen.page.locator(".worst a").first.click()
    seen.page.go_back()
    assert seen.page.input_value("#q") == "sigma"
    assert len(seen.shown()) == 2


def test_the_keyboard_reaches_and_opens_everything(show):
    seen = show(session())
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.className") == "skip"
    seen.page.locator(".tools [data-value=fail][data-axis=verdict]").focus()
    seen.page.keyboard.press("Space")
    assert len(seen.shown()) == 2
    seen.page.locator("article.test:visible summary").first.focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.locator("article.test:visible .body").first.is_visible()


def test_log_counts_redraw_and_linear_counts_are_what_the_file_has(show):
    seen = show(session())
    seen.page.select_option("#scale", "linear")
    open_all(seen.page)
    first = seen.page.locator("svg.h:not([data-log]) path.b").first
    drawn = first.bounding_box()
    before = first.get_attribute("d")
    seen.page.select_option("#scale", "log")
    assert first.get_attribute("d") != before
    assert "log" in seen.page.locator("svg.h:not([data-log]) .y").first.text_content()
    seen.page.select_option("#scale", "linear")
    again = first.bounding_box()
    assert again == pytest.approx(drawn, abs=1)
    assert "log" not in seen.page.locator("svg.h").first.locator(".y").text_content()


def test_redrawn_histograms_have_the_heights_that_came_with_the_page(show):
    seen = show(session())
    open_all(seen.page)
    boxes = """() => [...document.querySelectorAll('svg.h path[data-c]')].map(p => {
      const b = p.getBBox(); return [b.x, b.y, b.width, b.height] })"""
    came = seen.page.evaluate(boxes)
    seen.page.select_option("#scale", "linear")
    seen.page.select_option("#scale", "log")
    seen.page.select_option("#scale", "auto")
    for before, after in zip(came, seen.page.evaluate(boxes), strict=True):
        assert after == pytest.approx(before, abs=1.01)


def test_pointing_at_a_histogram_tells_the_bin(show):
    seen = show(session())
    open_all(seen.page)
    chart = seen.page.locator("svg.h:visible").first
    chart.scroll_into_view_if_needed()
    chart.hover()
    tip = seen.page.locator("#tip").inner_text()
    assert " to " in tip
    assert "start: " in tip
    assert "%" in tip


def test_hostile_strings_and_pictures_stay_inert(show):
    seen = show(hostile(), "hostile")
    open_all(seen.page)
    for image in seen.page.locator("img").all():
        image.scroll_into_view_if_needed()
    seen.page.wait_for_timeout(300)
    assert seen.page.evaluate("window.hacked ?? null") is None
    assert seen.faults == []
    assert seen.foreign() == []
    assert seen.page.locator("script").count() == 1
    assert "<script>" in seen.page.locator("h3 .name").first.inner_text()
    assert seen.page.locator("svg.h").count() >= 12
    seen.page.fill("#q", "<script>")
    assert len(seen.shown()) == 1


def test_without_scripts_all_of_it_can_be_read(show):
    seen = show(session(), java_script_enabled=False)
    assert len(seen.shown()) == 7
    assert seen.page.locator(".tools").is_hidden()
    seen.page.locator("article.test summary").first.click()
    first = seen.page.locator("article.test").first
    assert first.locator(".findings li").first.is_visible()
    assert first.locator("svg.h:visible").count() == 27
    assert first.locator("svg.l:visible").count() == 3


@pytest.mark.parametrize("record", [session, hostile])
def test_no_width_makes_the_page_scroll_sideways(show, record):
    seen = show(record(), {session: "page", hostile: "hostile"}[record])
    open_all(seen.page)
    for width in (320, 390, 1200):
        seen.page.set_viewport_size({"width": width, "height": 800})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


CONTRAST = """() => {
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(') ? numbers.map((n, i) => i < 3 ? n * 255 : n) : numbers;
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const worst = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility()) continue;
    if (e.closest('.hidden, .skip, #tip, noscript, script')) continue;
    const style = getComputedStyle(e);
    const ink = parse(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const name = `${e.tagName}.${e.className.baseVal ?? e.className}`;
    if (ratio < 4.5) worst.push(`${name} ${ratio.toFixed(2)}`);
  }
  return [...new Set(worst)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast_and_the_picture_is_not_empty(show, scheme, tmp_path):
    seen = show(session(), color_scheme=scheme)
    open_all(seen.page)
    assert seen.page.evaluate(CONTRAST) == []
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(c) for c in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (sum(channels) > 600) == (scheme == "light")
    picture = seen.page.screenshot(path=tmp_path / "page.png")
    assert len(picture) > 20_000


def test_names_and_roles_are_there_for_a_screen_reader(show):
    seen = show(session())
    open_all(seen.page)
    unnamed = seen.page.evaluate(
        """() => {
          const without = (query, name) =>
            [...document.querySelectorAll(query)].filter((e) => !name(e)).map((e) => e.outerHTML);
          return [
            without('svg[role=img]', (e) => e.querySelector('title')?.textContent.trim()),
            without('img', (e) => e.hasAttribute('alt')),
            without('input, select', (e) => e.labels.length),
            without('button, a', (e) => e.textContent.trim()),
          ].flat();
        }"""
    )
    assert unnamed == []
    assert seen.page.evaluate("document.documentElement.lang") == "en"
    assert seen.page.get_by_role("searchbox").count() == 1
    assert seen.page.get_by_role("heading", level=1).count() == 1


def test_an_empty_session_says_what_to_do(show):
    seen = show(SessionRecord(1, {}), "empty")
    assert "initcheck.diagnose" in seen.page.locator("#list").inner_text()
    assert seen.page.locator("#none").is_hidden()
    assert seen.faults == []
