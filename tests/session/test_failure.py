"""The text of a failure: what a summary keeps comes first, the rest is aligned and wrapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.report import saturation, vanishing

from pytest_initcheck.records import Consequence
from pytest_initcheck.session.failure import headline, health_text, show_command


def text(*findings, every=(), width=72, **options):
    return health_text(
        "fail", findings, [*findings, *every], nodeid="a.py::t", width=width, **options
    )


def test_the_first_line_is_what_pytest_keeps():
    first = text(saturation("fc1", "fc2")).splitlines()[0]
    assert first == (
        "fail: IC301 saturated units, layer 'fc1', units 0, 1, 2 and 26 more: 0.97, allowed at "
        "most 0.5"
    )
    unmeasured = replace(saturation(), measured=None, limit=None, units=(), layer="")
    assert headline(unmeasured) == "IC301 saturated units, model: share of saturated units"


def test_the_lines_are_aligned_and_in_order():
    found = replace(
        saturation("fc1", *(f"fc{i}" for i in range(2, 12))),
        consequences=(Consequence("error IC403 gradients: model: it follows"),),
        profile={"fc1": 1.0, "fc2": 0.0},
    )
    lines = text(found, every=(vanishing(),)).splitlines()[1:]
    labels = [line[:10].strip() for line in lines if line[:10].strip()]
    assert labels == [
        "measured", "allowed", "where", "profile", "cause", "fix", "source", "more", "more",
        "report: py",
    ]  # fmt: skip
    whole = " ".join(line[10:] for line in lines)
    assert "also 'fc2', 'fc3', 'fc4', 'fc5', 'fc6', 'fc7' and 4 more" in whole
    assert "█· fc1: 1, fc2: 0" in whole
    assert "leads to error IC403" in whole


@pytest.mark.parametrize("width", [40, 72, 120])
def test_no_line_but_the_first_is_wider_than_the_terminal(width):
    found = replace(saturation("fc1"), cause="word " * 80, remedy_code="x = 1  # " + "y" * 300)
    lines = text(found, every=(vanishing(),), width=width).splitlines()
    assert max(map(len, lines[1:-1])) <= width or width < 60
    assert any(line.endswith("…") for line in lines)


def test_names_that_cannot_be_broken_stay_whole():
    name = "encoder." * 30
    assert repr(name) in text(saturation(name))


def test_the_report_is_told_from_where_pytest_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert show_command("a.py::t", tmp_path / "out/page.html") == f"report: {Path('out/page.html')}"
    assert show_command("a.py::t[x y]", None).startswith("report: pytest 'a.py::t[x y]' ")
