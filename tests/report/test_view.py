"""What the page says, read from its HTML without a browser."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from support.records import layer, mlp, resnet, runs
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
    assert {c.value: c.count for c in view.verdicts} == {"fail": 2, "warn": 0, "pass": 3, "none": 2}
    assert {c.value: c.count for c in view.statuses} == {
        "changed": 1,
        "missing": 1,
        "new": 1,
        "match": 3,
        "none": 1,
    }
    assert view.headline == "7 tests: 1 crashed, 1 failed, 5 passed"


def test_ignored_findings_are_shown_apart_with_their_reason():
    ignored = replace(saturation(), ignored="<b>meant</b> to be so")
    run = SessionRecord(1, {}, (one(verdict="pass", ignored=(ignored,) * 70),))
    view = page_view(run)
    assert view.worst == ()
    assert (view.tests[0].findings, view.tests[0].ignored) == (0, 70)
    assert view.tests[0].entries[0].more_ignored == 10
    assert ignored.id.casefold() in view.tests[0].search
    text = report.render(run)
    assert "&lt;b&gt;meant&lt;/b&gt; to be so" in text
    assert "<h5>Findings</h5>" not in text
    assert "and 10 more in run.json" in text
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
    (test,) = page_view(
        SessionRecord(1, {}, (TestRecord(nodeid="a.py::t", entries=entries),))
    ).tests
    assert (test.verdict, test.status) == ("fail", "missing")


def test_tests_and_findings_come_worst_first():
    view = page_view(session())
    assert [t.outcome for t in view.tests[:2]] == ["failed", "crashed"]
    assert [t.name for t in view.tests[2:4]] == ["test_bad_sigmas_are_found", "test_sigma[0.1]"]
    assert [w.expected for w in view.worst] == [False, False, True, True]
    assert [w.finding.severity for w in view.worst] == ["error", "warning", "error", "warning"]


def test_links_to_a_test_survive_other_tests_coming_and_going():
    whole = {t.name: t.anchor for t in page_view(session()).tests}
    fewer = replace(session(), tests=session().tests[3:])
    assert all(whole[t.name] == t.anchor for t in page_view(fewer).tests)


def test_two_tests_of_one_name_have_two_anchors():
    tests = (TestRecord(nodeid="a.py::t"), TestRecord(nodeid="a.py::t"))
    anchors = [t.anchor for t in page_view(SessionRecord(1, {}, tests)).tests]
    assert len(set(anchors)) == 2


def test_a_finding_shows_all_that_it_knows():
    text = Outline(page(one(findings=(saturation("fc1", "fc2"),)))).text
    for words in (
        "error",
        "saturated units",
        "fc1",
        "units 0, 1, 2",
        "and 21 more",
        "IC301",
        "share of saturated units 0.97, allowed at most 0.5",
        "flat ends",
        "Remedy",
        "N(0, 1/fan_in)",
        "also in fc2",
        "Glorot and Bengio",
    ):
        assert words in text


def test_only_a_web_address_becomes_a_link():
    def finding(reference: str) -> Finding:
        return replace(saturation(), reference=reference)

    references = ("javascript:alert(1)", "data:text/html,x", "see https://example.org/a.html")
    outline = Outline(page(one(findings=tuple(map(finding, references)))))
    outside = [v for v in outline.values("href") if not v.startswith(("#", "data:image"))]
    assert outside == ["https://example.org/a.html"]


def test_a_comparison_is_a_table_with_notes_and_provenance():
    comparison = replace(changed(RunRecord()), provenance={"torch": "2.13.0"})
    text = Outline(page(one(comparison=comparison))).text
    assert "3 of 214 compared values left their tolerance" in text
    assert "after/layers.0/weight/std 0.0661 0.0512 ± 0.0014 10.6×" in text
    assert "the baseline was made on device cpu" in text
    assert "baselines/suites/test_sigma.json" in text
    assert "torch 2.13.0" in text


def test_a_missing_baseline_says_how_to_create_it():
    assert "--initcheck-update" in Outline(page(one(comparison=Comparison(status="missing")))).text


def test_an_excess_without_limit_is_shown():
    worst = replace(changed(RunRecord()).differences[0], excess=math.inf)
    comparison = Comparison(status="changed", differences=(worst,), compared=1)
    assert "inf×" in Outline(page(one(comparison=comparison))).text


def overlays(record: RunRecord, expected: RunRecord | None) -> set[str]:
    comparison = Comparison(status="match", expected=expected)
    found = page(one(record, comparison=comparison))
    return {name for name in "baef" if f'<path class="{name}" d="M0' in found}


def test_histograms_overlay_start_after_and_the_baseline_of_both():
    rng = random.Random(0)
    now = RunRecord(before=mlp(rng), after=mlp(rng, "after 5 steps"))
    assert overlays(RunRecord(before=now.before), None) == {"b"}
    assert overlays(now, None) == {"a", "b"}
    assert overlays(now, RunRecord(after=now.after)) == {"a", "b", "f"}
    assert overlays(now, now) == {"a", "b", "e", "f"}


def test_every_tensor_has_its_histogram():
    found = page(one(RunRecord(before=mlp(random.Random(0), depth=1))))
    captions = [
        w for w in ("weight</b>", "activations</b>", "gradient of weight</b>") if w in found
    ]
    assert len(captions) == 3
    assert found.count('<svg class="h"') == 3


def test_runs_show_metrics_over_seeds_beside_the_baseline():
    rng = random.Random(4)
    text = Outline(page(one(runs(rng, 0.7, epochs=5), comparison=changed(runs(rng, 0.7))))).text
    assert "accuracy 0." in text
    assert "±" in text
    assert "seeds 0, 1, 2, 3, 4, 5, 6, 7" in text


def test_a_sweep_has_an_overview_of_its_records():
    text = Outline(report.render(session())).text
    assert "record health baseline findings accuracy final loss" in text


def test_a_picture_is_an_image_and_no_part_of_the_page():
    picture = Picture("w", "image/svg+xml", HOSTILE_SVG)
    found = page(TestRecord(nodeid="a.py::t", pictures=(picture,)))
    assert 'src="data:image/svg+xml;base64,' in found
    assert "onload" not in found


def test_hostile_strings_are_text():
    outline = Outline(report.render(hostile()))
    assert {"script", "img"} >= {t for t, k, v in outline.attributes if k == "src"}
    assert not [k for _, k, _ in outline.attributes if k.startswith("on")]
    assert not [v for v in outline.values("href") if v.startswith("javascript")]
    assert report.render(hostile()).count("<script>") == 1


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
    assert (
        "it recorded nothing" in Outline(page(TestRecord(nodeid="a.py::t", outcome="crashed"))).text
    )
    assert "worker gw0 died" in Outline(page(notes=("worker gw0 died",))).text


def test_three_hundred_layers_with_long_names():
    rng = random.Random(0)
    base = layer(rng, "x", size=50)
    layers = tuple(replace(base, name=f"{'ネット.' * 120}{i}") for i in range(300))
    found = page(one(RunRecord(before=ModelRecord(layers=layers))))
    assert found.count('<svg class="h"') == 900
    assert len(found.encode()) < 1_800_000


def test_long_lists_are_capped_and_say_so():
    differences = tuple(
        replace(changed(RunRecord()).differences[0], key=f"k{i}") for i in range(99)
    )
    findings = tuple(replace(saturation(), layer=f"l{i}") for i in range(99))
    found = page(
        one(
            findings=findings,
            comparison=Comparison(status="changed", differences=differences, compared=99),
        )
    )
    text = Outline(found).text
    assert "and 59 more in run.json" in text
    assert "and 39 more in run.json" in text
    assert "and 91 more, listed with their tests" in text


def test_a_huge_message_is_cut_and_colours_are_removed():
    found = page(replace(one(), message="\x1b[31mred\x1b[0m " + "x" * 50_000))
    assert "\x1b" not in found
    assert "more characters are in run.json" in found
    assert len(found) < 80_000
