"""The terminal's section and the table of layers: short, aligned, safe to print."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.records import mlp
from support.report import changed, hostile, saturation, session

from pytest_initcheck import report
from pytest_initcheck.records import (
    Comparison,
    Entry,
    LayerRecord,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TestRecord,
    UnitStats,
)
from pytest_initcheck.report.profile import sparkline
from pytest_initcheck.report.terminal import coloured


def test_the_section_counts_two_axes_and_names_the_worst():
    lines = report.terminal_lines(session(), "out/report.html")
    assert lines[0] == "health:    2 fail, 3 pass, 2 not judged"
    assert lines[1] == "baselines: 1 changed, 1 missing, 1 new, 3 match, 1 not compared"
    assert lines[2] == (
        "error IC301 saturated units, layer 'layers.3': 0.97, allowed at most 0.5 (share of "
        "saturated units)"
    )
    assert lines[3] == "      test_initialisation.py::test_deep_variant"
    assert any("baseline missing" in line for line in lines)
    assert not any("--initcheck-update" in line for line in lines), "its test fails otherwise"
    assert any("10.6" in line or "after/layers.0/weight/std" in line for line in lines)
    assert lines[-1] == "report: out/report.html"


def test_nothing_recorded_prints_nothing():
    assert report.terminal_lines(SessionRecord(1, {})) == []
    assert report.terminal_lines(SessionRecord(1, {}, (TestRecord(nodeid="a.py::t"),))) == []


def test_notes_are_shown():
    lines = report.terminal_lines(SessionRecord(1, {}, (), ("worker gw0 crashed",)))
    assert lines == ["note: worker gw0 crashed"]


def test_many_findings_and_changes_are_capped():
    findings = tuple(replace(saturation(), layer=f"l{i}") for i in range(30))
    tests = tuple(
        TestRecord(
            nodeid=f"a.py::t{i}",
            entries=(
                Entry(
                    name="d",
                    kind="d",
                    record=RunRecord(),
                    verdict="fail",
                    findings=findings,
                    comparison=Comparison(status="missing"),
                ),
            ),
        )
        for i in range(9)
    )
    lines = report.terminal_lines(SessionRecord(1, {}, tests), "r.html")
    assert "and 265 more findings, see the report" in lines
    assert "and 4 more baseline changes, see the report" in lines
    assert len(lines) <= 2 + 6 + 6 + 1
    assert max(map(len, lines)) <= 140


def test_a_change_names_the_worst_value_and_counts_the_rest():
    entry = Entry(
        name="run", kind="run", record=RunRecord(), verdict="pass", comparison=changed(RunRecord())
    )
    lines = report.terminal_lines(
        SessionRecord(1, {}, (TestRecord(nodeid="a.py::t", entries=(entry,)),)), width=200
    )
    assert lines[-1] == (
        "run: baseline changed: after/layers.0/weight/std 0.0661, expected 0.0512 and 2 more "
        "(a.py::t)"
    )


def test_without_a_report_no_line_points_to_one():
    findings = tuple(replace(saturation(), layer=f"l{i}") for i in range(9))
    test = TestRecord(
        nodeid="a.py::t",
        entries=(Entry(name="d", kind="d", record=RunRecord(), verdict="fail", findings=findings),),
    )
    lines = report.terminal_lines(SessionRecord(1, {}, (test,)))
    assert lines[-1] == "and 4 more findings, see --initcheck-report=PATH"


def test_every_line_fits_the_terminal():
    notes = ("worker gw1 crashed: " + "its test has no records " * 9,)
    lines = report.terminal_lines(replace(session(), notes=notes), "r.html", width=60)
    assert max(map(len, lines)) <= 60
    assert sum(line.startswith("      ") for line in lines) >= 4


def test_only_verdicts_are_coloured():
    def painted(line):
        return [(part, colour) for part, colour in coloured(line) if colour]

    assert painted("health:    2 fail, 1 expected, 3 pass") == [
        ("2 fail", "red"),
        ("3 pass", "green"),
    ]
    assert painted("baselines: 1 changed, 4 match") == [("1 changed", "red"), ("4 match", "green")]
    assert painted("error IC101 zero, layer 'fail': 0, allowed more than 0") == [("error", "red")]
    assert painted("note: 2 fail") == []
    for line in report.terminal_lines(session(), "r.html"):
        assert "".join(part for part, _ in coloured(line)) == line


def test_the_table_of_a_deep_model_keeps_the_fault_in_view():
    rng = random.Random(0)
    record = mlp(rng, depth=90)
    lines = report.table(record, [saturation("layers.50")])
    assert len(lines) < 32
    names = [line.split()[0] for line in lines[1:]]
    assert names[0] == "layers.0"
    assert names[-1] == "layers.89"
    assert {"layers.49", "layers.50", "layers.51"} <= set(names)
    left = [int(line.split()[1]) for line in lines if line.startswith("…")]
    assert sum(left) + sum(name.startswith("layers") for name in names) == 90


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([1.0, 1e-3, 1e-6], "█▅▁"),
        ([1.0, 0.0, float("nan")], "█·×"),
        ([2.0, 2.0], "██"),
        ([0.0, 0.0], "··"),
    ],
)
def test_depth_as_a_line_of_bars(values, bars):
    assert sparkline(values) == bars


def test_control_characters_and_surrogates_are_not_printed():
    record = replace(hostile(), notes=("a\x1b[2Jb\x07\udcff\nc",))
    for line in report.terminal_lines(record, "r.html"):
        line.encode("utf-8")
        assert "\x1b" not in line
        assert "\n" not in line
        assert "\x07" not in line


def test_the_table_has_aligned_columns_and_marks_findings():
    record = mlp(random.Random(0), "after 5 steps")
    lines = report.table(record, [saturation("layers.1", "layers.2")])
    assert len(lines) == 5
    header = lines[0].split("  ")
    assert header[0].strip() == "layer"
    for title in ("weight std", "act mean", "act std", "dead", "saturated", "grad rms", "update"):
        end = lines[0].index(title) + len(title)
        assert all(line[end - 1] != " " and line[end : end + 1] in ("", " ") for line in lines[1:])
    assert lines[2].endswith("IC301")
    assert lines[3].endswith("IC301")
    assert not lines[1].endswith("IC301")


def test_the_table_holds_for_empty_and_odd_models():
    assert len(report.table(ModelRecord())) == 1
    odd = ModelRecord(
        layers=(
            LayerRecord(name="", kind="Linear"),
            LayerRecord(name="ж" * 500, kind="K" * 500, nonlinearity="n" * 500),
        )
    )
    lines = report.table(odd, width=120)
    assert "(model)" in lines[1]
    assert max(map(len, lines)) <= 140


def test_the_table_shows_lost_units_as_percentages():
    units = UnitStats(count=16, dead_share=0.25, saturated_share=0.5)
    lines = report.table(ModelRecord(layers=(LayerRecord(name="a", kind="Linear", units=units),)))
    assert "25%" in lines[1]
    assert "50%" in lines[1]


def test_the_table_shows_how_far_the_weight_moved_not_a_bias_that_began_at_zero():
    layer = LayerRecord(
        name="a", kind="Linear", update_ratio={"bias": float("inf"), "weight": 0.0125}
    )
    lines = report.table(ModelRecord(layers=(layer,)))
    assert "0.0125" in lines[1]
    assert "inf" not in lines[1]


def compared(*bits: bool | None) -> SessionRecord:
    entries = [
        Entry(
            name=str(i),
            kind="metrics",
            record=RunRecord(),
            comparison=Comparison(status="match", bit_identical=bit),
        )
        for i, bit in enumerate(bits)
    ]
    return SessionRecord(1, {}, tuple(TestRecord(nodeid=e.name, entries=(e,)) for e in entries))


@pytest.mark.parametrize(
    ("bits", "told"),
    [
        ((True, True), " (bit-identical)"),
        ((True, False, None), " (1 of 3 bit-identical)"),
        ((False, None), ""),
        ((None,), ""),
    ],
)
def test_the_second_verdict_is_a_word(bits, told):
    lines = report.terminal_lines(compared(*bits))
    assert f"baselines: {len(bits)} match{told}" in lines


def test_the_second_verdict_stands_with_what_it_is_about():
    one = compared(True)
    entry = Entry(name="b", kind="metrics", record=RunRecord())
    both = replace(one, tests=(*one.tests, TestRecord(nodeid="b", entries=(entry,))))
    assert "baselines: 1 match (bit-identical), 1 not compared" in report.terminal_lines(both)


def test_many_values_are_thinned_evenly():
    drawn = sparkline([10.0**i for i in range(200)])
    assert len(drawn) < 50
    assert (drawn[0], drawn[-1]) == (sparkline([1.0, 10.0])[0], sparkline([1.0, 10.0])[-1])
