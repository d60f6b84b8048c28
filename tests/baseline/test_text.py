"""The failure text of a comparison: headline, worst case, capped table, what accepts it."""

import math

from support.baseline import PROVENANCE, kaiming, network, recorded

from pytest_initcheck.baseline import Baselines, compare, format_comparison, freeze
from pytest_initcheck.records import Comparison, Difference, RunRecord


def differences(n: int) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            key=f"metric m{i}",
            actual="2",
            expected="1",
            allowed="± 0.1",
            excess=math.inf if i == 0 else 50.0 - i,
        )
        for i in range(n)
    )


def test_missing_says_that_nothing_was_written_and_what_creates_it():
    text = format_comparison(
        Comparison(status="missing", file="b/a.json"), "run", "s/test_a.py::t[1]"
    )
    assert text.splitlines() == [
        "missing: no baseline for 'run' in b/a.json; nothing was written",
        "create: pytest 's/test_a.py::t[1]' --initcheck-update",
    ]


def test_changed_starts_with_the_share_and_the_worst():
    found = compare(
        network(0, init=kaiming), freeze(network(1), PROVENANCE), file="baselines/a.json"
    )
    lines = format_comparison(found, "diagnosis", "test_a.py::t").splitlines()
    assert lines[0].startswith("changed: 'diagnosis' is not as in its baseline: ")
    assert f"{len(found.differences)} differences in {found.compared} compared values" in lines[0]
    worst = found.differences[0]
    assert lines[1].startswith(f"worst: {worst.key}: {worst.actual}, baseline {worst.expected}")
    assert worst.allowed in lines[1]
    assert lines[2].split() == ["what", "actual", "baseline", "allowed", "excess"]
    assert lines[-2] == (
        "baseline: baselines/a.json"
        " (recorded with torch 2.14.1, python 3.11.7, platform Linux-6.1, device cpu)"
    )
    assert lines[-1] == "accept: pytest test_a.py::t --initcheck-update"


def test_the_table_is_capped_and_aligned():
    text = format_comparison(
        Comparison(status="changed", differences=differences(25), compared=100), "run"
    )
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("  metric m")]
    assert len(rows) == 10
    assert "  and 15 more, see the report" in lines
    assert len({row.index(" 1 ") for row in rows}) == 1
    assert rows[0].rstrip().endswith("-")
    assert lines[-1] == "accept: pytest --initcheck-update"


def test_one_difference_is_told_in_the_singular():
    text = format_comparison(
        Comparison(status="changed", differences=differences(1), compared=1), "run"
    )
    assert "1 difference in 1 compared value (100 %)" in text
    assert "more" not in text


def test_long_names_are_shortened():
    far = Difference(key="x" * 400, actual="1", expected="2", allowed="equal", excess=math.inf)
    table = format_comparison(
        Comparison(status="changed", differences=(far,), compared=5), "run"
    ).splitlines()[3]
    assert len(table) < 140


def test_notes_follow_the_table():
    found = Comparison(
        status="changed",
        differences=differences(2),
        compared=5,
        notes=("the baseline was recorded on cpu",),
    )
    assert "note: the baseline was recorded on cpu" in format_comparison(found, "run")


def test_match_is_one_line():
    found = compare(RunRecord(metrics={"a": (1.0,)}), RunRecord(metrics={"a": (1.0,)}))
    assert format_comparison(found, "run") == "match: 'run', 1 value compared"


def test_the_whole_way_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    baselines = Baselines(tmp_path / "baselines")
    node = "suites/test_a.py::test_x"
    baselines.update([recorded(network(0))], PROVENANCE)
    found = baselines.compare(node, "run", network(0, gain=2.0), device="cuda")
    text = format_comparison(found, "run", node)
    assert "note: the baseline was recorded on cpu, this run is on cuda" in text
    assert "baseline: baselines/suites/test_a.json (" in text
    assert str(tmp_path) not in text
