"""What the page says, read from its HTML without a browser."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from support.records import layer, mlp, resnet
from support.report import HOSTILE_SVG, changed, hostile, saturation, session

from pytest_initcheck import report
from pytest_initcheck.records import (
    Comparison,
    Entry,
    Finding,
    Histogram,
    LayerRecord,
    ModelRecord,
    Picture,
    RunRecord,
    SessionRecord,
    TensorStats,
    TestRecord,
    UnitStats,
)
from pytest_initcheck.report.texts import _secrets, difference_words, safe_text
from pytest_initcheck.report.view import page_view

VOID = {"meta", "link", "img", "input", "br"}


class Outline(HTMLParser):
    """Checks that tags nest, and keeps headings, links and sources."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.faults: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, key: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == key]


def data(view):
    return json.loads(view.data)


def anchors(record: SessionRecord) -> set[str]:
    return {test["anchor"] for test in data(page_view(record))["tests"]}


def page(*tests: TestRecord, notes: tuple[str, ...] = ()) -> str:
    return report.render(SessionRecord(1, {"torch": "2.14.1"}, tests, notes))


def one(record: RunRecord | None = None, **changes) -> TestRecord:
    entry = Entry(name="diagnosis", kind="diagnosis", record=record or RunRecord(), **changes)
    return TestRecord(nodeid="test_a.py::test_x", entries=(entry,))


@pytest.mark.parametrize("build", [session, hostile, lambda: SessionRecord(1, {})])
def test_page_is_well_formed_with_headings_in_order(build):
    outline = Outline(report.render(build()))
    assert outline.faults == []
    assert outline.stack == []
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(b <= a + 1 for a, b in steps), outline.headings


def test_page_refers_to_nothing_outside_itself():
    outline = Outline(report.render(session()))
    assert all(s.startswith("data:image/") for s in outline.values("src"))
    for tag, key, value in outline.attributes:
        if key == "href" and tag != "a":
            assert value.startswith("data:")
    text = report.render(session())
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src 'none'" in outline.values("content")[0] + text


def test_ids_are_unique_and_links_inside_the_page_have_a_target():
    outline = Outline(report.render(session()))
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    inside = [v for v in outline.values("href") if v.startswith("#")]
    assert inside
    assert {v[1:] for v in inside} <= set(ids)


def test_the_two_axes_are_counted_apart():
    view = page_view(session())
    assert {c.value: c.count for c in view.states} == {"fail": 2, "warn": 0, "pass": 3, "none": 2}
    assert {c.value: c.count for c in view.statuses} == {
        "changed": 1,
        "missing": 1,
        "new": 1,
        "match": 3,
        "none": 1,
    }


def test_one_sentence_tells_what_to_act_on():
    view = page_view(session())
    assert view.headline == (
        "1 model cannot learn, 1 run misses its target, 1 baseline changed, 1 test crashed"
    )
    assert view.aside == "7 tests: 1 crashed, 1 failed, 5 passed · 1 warning"
    assert view.is_bad
    told = report.render(session())
    assert f'<h1 class="bad">{view.headline}</h1>' in told


def state(verdict, *findings, expected="", outcome="passed", comparison=None, ignored=()):
    entry = Entry(
        name="d",
        kind="diagnosis",
        record=RunRecord(),
        verdict=verdict,
        findings=findings,
        expected=expected,
        comparison=comparison,
        ignored=ignored,
    )
    return TestRecord(nodeid="a.py::t", outcome=outcome, entries=(entry,))


def headline(*tests):
    return page_view(SessionRecord(1, {}, tests)).headline


def test_what_is_expected_or_ignored_is_no_news():
    caught = state("fail", saturation(), expected="the test catches its failure")
    ignored = state("pass", ignored=(replace(saturation(), ignored="meant"),))
    view = page_view(SessionRecord(1, {}, (caught, ignored)))
    assert (view.headline, view.is_bad) == ("All 2 tests passed", False)
    assert view.aside == "2 tests: 2 passed · 2 expected faults · 1 ignored finding"
    assert {c.value: c.count for c in view.states if c.count} == {"expected": 2}
    assert [test["state"] for test in data(view)["tests"]] == ["expected"] * 2


def test_the_sentence_counts_what_somebody_has_to_act_on():
    bad = state("fail", saturation(), outcome="failed")
    missing = replace(bad.entries[0], comparison=Comparison(status="missing"))
    assert headline(bad, bad) == "2 models cannot learn"
    assert headline(replace(bad, entries=(missing,))) == "1 model cannot learn"
    healthy = state("pass", outcome="failed", comparison=Comparison(status="missing"))
    assert headline(healthy, healthy) == "2 baselines are missing"
    assert headline(state("pass", outcome="failed")) == "1 test fails by its own assertions"
    assert headline(state("pass")) == "The test passed"
    assert headline(state("warn", outcome="skipped")) == "Nothing to act on: 1 skipped"


def test_health_comes_before_the_baseline():
    text = page(state("fail", saturation(), comparison=Comparison(status="missing")))
    assert "fix the health first" in text
    assert "--initcheck-update creates" not in text
    text = page(state("pass", comparison=Comparison(status="missing")))
    assert "--initcheck-update creates it once the test passes" in text


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("pass", "new: its baseline (made with torch 2.13.0) was healthy"),
        ("fail", "as in its baseline (made with torch 2.13.0): it is not new"),
    ],
)
def test_the_baseline_tells_since_when(verdict, words):
    known = Comparison(status="match", provenance={"torch": "2.13.0", "verdict": verdict})
    assert words in page(state("fail", saturation(), comparison=known))


def test_ignored_findings_are_shown_apart_with_their_reason():
    ignored = replace(saturation(), ignored="<b>meant</b> to be so")
    run = SessionRecord(1, {}, (one(verdict="pass", ignored=(ignored,) * 70),))
    (entry,) = data(page_view(run))["tests"][0]["entries"]
    assert "findings" not in entry
    assert (len(entry["ignored"]), entry["moreIgnored"]) == (60, 10)
    text = report.render(run)
    assert "ignored: &lt;b&gt;meant&lt;/b&gt; to be so" in text
    assert Outline(text).faults == []
    assert "ignored:   70 findings" in report.terminal_lines(run)


def test_a_test_is_as_bad_as_its_worst_entry():
    entries = (
        Entry(
            name="a",
            kind="run",
            record=RunRecord(),
            verdict="pass",
            comparison=Comparison(status="match"),
        ),
        Entry(
            name="b",
            kind="run",
            record=RunRecord(),
            verdict="fail",
            comparison=Comparison(status="missing"),
        ),
        Entry(name="c", kind="run", record=RunRecord(), verdict=None),
    )
    view = page_view(SessionRecord(1, {}, (TestRecord(nodeid="a.py::t", entries=entries),)))
    assert (view.tests[0].state, view.tests[0].status) == ("fail", "missing")


def test_tests_and_findings_come_worst_first():
    view = page_view(session())
    assert [test.outcome for test in view.tests[:2]] == ["failed", "crashed"]
    names = [test.name.partition("::")[2] for test in view.tests[2:4]]
    assert names == ["test_bad_sigmas_are_found", "test_sigma[0.1]"]
    found = data(view)["tests"][0]["entries"][0]["findings"]
    assert [finding["severity"] for finding in found] == ["error", "warning"]


def test_links_to_a_test_survive_other_tests_coming_and_going():
    whole = anchors(session())
    fewer = replace(session(), tests=session().tests[3:])
    assert anchors(fewer) <= whole


def test_two_tests_of_one_name_have_two_anchors():
    tests = (TestRecord(nodeid="a.py::t"), TestRecord(nodeid="a.py::t"))
    assert len(anchors(SessionRecord(1, {}, tests))) == 2


def test_a_finding_shows_all_that_it_knows_without_a_script():
    text = Outline(page(one(findings=(saturation("fc1", "fc2"),)))).text
    for words in (
        "error",
        "saturated units",
        "layer fc1",
        "also in fc2",
        "IC301",
        "share of saturated units 0.97, allowed at most 0.5",
        "flat ends",
        "Fix: draw the weights from N(0, 1/fan_in)",
        "Glorot and Bengio",
    ):
        assert words in text


def test_the_layer_is_named_with_kind_and_shape():
    record = RunRecord(before=mlp(random.Random(0), depth=2))
    text = Outline(page(one(record, findings=(saturation("layers.1"),)))).text
    assert "layer layers.1 (Linear 256 × 256)" in text


def test_only_a_web_address_becomes_a_link():
    def finding(reference: str) -> Finding:
        return replace(saturation(), reference=reference)

    references = ("javascript:alert(1)", "data:text/html,x", "see https://example.org/a.html")
    outline = Outline(page(one(findings=tuple(map(finding, references)))))
    outside = [v for v in outline.values("href") if not v.startswith(("#", "data:image"))]
    assert outside == ["https://example.org/a.html"]


def texts_of(*tests: TestRecord) -> list[str]:
    return data(page_view(SessionRecord(1, {}, tests)))["texts"]


def test_a_comparison_has_its_differences_notes_and_provenance():
    comparison = replace(changed(RunRecord()), provenance={"torch": "2.13.0"})
    view = page_view(SessionRecord(1, {}, (one(comparison=comparison),)))
    texts = data(view)["texts"]
    baseline = data(view)["tests"][0]["entries"][0]["baseline"]
    *words, excess = baseline["differences"][0]
    assert [texts[word] for word in words] == [
        "after/layers.0/weight/std",
        "0.0661",
        "0.0512",
        "± 0.0014",
    ]
    assert excess == 10.6
    for words in (
        "3 of 214 compared values left their tolerance, worst first.",
        "the baseline was made on device cpu with torch 2.13.0",
        "baselines/suites/test_sigma.json",
        "2.13.0",
    ):
        assert words in texts


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("before layer 'fc1' weights.weight std", "start layer 'fc1' weight std"),
        ("after layer 'a' gradients.weight mean", "after layer 'a' gradient of weight mean"),
        ("metric loss before", "metric loss before"),
    ],
)
def test_differences_are_told_in_the_terms_of_the_page(key, words):
    assert difference_words(key) == words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("report: /srv/me/tests/page.html", "report: …/page.html"),
        ("path=/var/a b", "path=…/a b"),
        ("error:/srv/x/y.py:3", "error:…/y.py:3"),
        (r"in C:\Users\me\x.py", "in …/x.py"),
        ("~/secret/file", "…/file"),
        ("file:" + "///etc/passwd!", "…/passwd!"),
        ("see https://arxiv.org/abs/1502.01852", "see https://arxiv.org/abs/1502.01852"),
        ("after/layers.0/weight/std 3 / 4", "after/layers.0/weight/std 3 / 4"),
        ("suites/test_a.py::test", "suites/test_a.py::test"),
        ("\x00a\x1b[31mb\udcff", "\ufffdab\\udcff"),
    ],
)
def test_no_absolute_path_and_no_control_character_is_shown(text, told):
    assert safe_text(text) == told


def test_secrets_of_the_environment_are_starred_out(monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "s3cr3t-value.1")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    _secrets.cache_clear()
    told = page(replace(one(), message="401 for s3cr3t-value.1, abc"))
    _secrets.cache_clear()
    assert "s3cr3t" not in told
    assert "401 for ***, abc" in told


def test_weights_that_leave_zero_have_no_ratio():
    moved = replace(layer(random.Random(0), "a"), update_ratio={"weight": math.inf})
    found = page(one(RunRecord(before=ModelRecord(layers=(moved,)))))
    assert "from 0" in found
    assert "\tinf" not in found


def test_histograms_overlay_start_after_and_the_baseline_of_both():
    rng = random.Random(0)
    now = RunRecord(before=mlp(rng), after=mlp(rng, "after 5 steps"))
    assert overlays(RunRecord(before=now.before), None) == {0}
    assert overlays(now, None) == {0, 1}
    assert overlays(now, RunRecord(after=now.after)) == {0, 1, 3}
    assert overlays(now, now) == {0, 1, 2, 3}


def overlays(record: RunRecord, expected: RunRecord | None) -> set[int]:
    comparison = Comparison(status="match", expected=expected)
    view = page_view(SessionRecord(1, {}, (one(record, comparison=comparison),)))
    charts = data(view)["tests"][0]["entries"][0]["layers"]["charts"]
    return {series[0] for each in charts for chart in each for series in chart[2]}


def test_every_tensor_has_its_histogram():
    view = page_view(SessionRecord(1, {}, (one(RunRecord(before=mlp(random.Random(0), depth=1))),)))
    (charts,) = data(view)["tests"][0]["entries"][0]["layers"]["charts"]
    captions = [data(view)["texts"][chart[1]] for chart in charts]
    assert captions == ["weight", "activations", "gradient of weight"]


def test_a_picture_is_data_and_no_part_of_the_page():
    picture = Picture("w", "image/svg+xml", HOSTILE_SVG)
    found = page(TestRecord(nodeid="a.py::t", pictures=(picture,)))
    assert "onload" not in found
    assert '"svg"' in found


def test_hostile_strings_are_text():
    outline = Outline(report.render(hostile()))
    assert {"script", "img"} >= {t for t, k, v in outline.attributes if k == "src"}
    assert not [k for _, k, _ in outline.attributes if k.startswith("on")]
    assert not [v for v in outline.values("href") if v.startswith("javascript")]
    assert report.render(hostile()).count("<script") == 2


odd = TensorStats(
    n=4,
    mean=None,
    std=None,
    min=None,
    max=None,
    zero_share=0.0,
    nonfinite=4,
    histogram=Histogram(0.0, 0.0, (0,) * 32),
    dtype="float32",
    shape=(4,),
)
flat = TensorStats(
    n=4,
    mean=2.0,
    std=0.0,
    min=2.0,
    max=2.0,
    zero_share=0.0,
    nonfinite=0,
    histogram=Histogram(2.0, 2.0, (4, *(0,) * 31)),
)
broken = TensorStats(
    n=4, mean=math.nan, std=math.inf, min=-math.inf, max=math.inf, zero_share=math.nan, nonfinite=1
)


@pytest.mark.parametrize(
    "record",
    [
        RunRecord(),
        RunRecord(before=ModelRecord()),
        RunRecord(after=ModelRecord()),
        RunRecord(before=ModelRecord(layers=(LayerRecord(name="", kind="Linear"),))),
        RunRecord(
            before=ModelRecord(
                layers=(LayerRecord(name="a", kind="Linear", weights={"w": odd, "v": flat}),)
            )
        ),
        RunRecord(
            before=ModelRecord(
                layers=(
                    LayerRecord(
                        name="a",
                        kind="L",
                        nonlinearity=None,
                        weights={"weight": broken},
                        gradients={},
                        activations=broken,
                        activation_gradients=odd,
                        units=UnitStats(count=0),
                    ),
                ),
                loss=math.nan,
                inputs=odd,
                outputs=flat,
                targets=broken,
            )
        ),
        RunRecord(curves={"a": (), "b": ((),), "c": ((math.nan,),), "d": ((1.0,), ())}),
        RunRecord(metrics={"a": (), "b": (math.nan, math.inf), "c": (1e308, 1e308, -1e308)}),
        RunRecord(before=mlp(random.Random(0), depth=1), after=resnet(random.Random(0))),
    ],
)
@pytest.mark.parametrize("baseline", [False, True])
def test_odd_records_make_a_page(record, baseline):
    comparison = Comparison(status="match", expected=record) if baseline else None
    outline = Outline(page(one(record, comparison=comparison)))
    assert outline.faults == []
    assert "test_x" in outline.text


def test_odd_findings_make_a_page():
    odd_ones = tuple(
        Finding(
            id="IC1",
            check="c",
            severity="error",
            layer="",
            quantity="q",
            measured=measured,
            limit=limit,
            cause="cause",
            remedy="",
        )
        for measured in (None, math.nan, math.inf)
        for limit in (None, math.nan, 0.5)
    )
    assert "the whole model" in Outline(page(one(findings=odd_ones, verdict="fail"))).text


def test_tests_without_records_and_empty_sessions_make_a_page():
    assert "No test recorded anything" in Outline(page()).text
    assert "crashed" in Outline(page(TestRecord(nodeid="a.py::t", outcome="crashed"))).text
    assert "worker gw0 died" in Outline(page(notes=("worker gw0 died",))).text


def test_three_hundred_layers_with_long_names():
    rng = random.Random(0)
    base = layer(rng, "x", size=50)
    layers = tuple(replace(base, name=f"{'ネット.' * 120}{i}") for i in range(300))
    found = page(one(RunRecord(before=ModelRecord(layers=layers))))
    assert len(found.encode()) < 1_000_000


def test_long_lists_are_capped_and_say_so():
    differences = tuple(
        replace(changed(RunRecord()).differences[0], key=f"k{i}") for i in range(99)
    )
    findings = tuple(replace(saturation(), layer=f"l{i}") for i in range(99))
    comparison = Comparison(status="changed", differences=differences, compared=99)
    record = one(findings=findings, comparison=comparison)
    (entry,) = data(page_view(SessionRecord(1, {}, (record,))))["tests"][0]["entries"]
    assert (len(entry["baseline"]["differences"]), entry["baseline"]["more"]) == (40, 59)
    assert (len(entry["findings"]), entry["moreFindings"]) == (60, 39)


def test_a_huge_message_is_cut_and_colours_are_removed():
    found = page(replace(one(), message="\x1b[31mred\x1b[0m " + "x" * 50_000))
    assert "\x1b" not in found
    assert "more characters are in run.json" in found
    assert len(found) < 150_000
