"""The path of a decision over seeds, in the terminal and on the page."""

import json
import math

import pytest

from pytest_initcheck import report
from pytest_initcheck.records import (
    Bounds,
    Entry,
    Look,
    RunRecord,
    SessionRecord,
    TestRecord,
)
from pytest_initcheck.report.looks import look_views, path_text
from pytest_initcheck.report.markdown import markdown
from pytest_initcheck.report.view import page_view

BOUNDS = tuple(
    Bounds(seeds=n, accepts=a, rejects=r) for n, a, r in ((4, None, 5.5), (8, 3.0, 5.5), (16, 5, 5))
)


def looked(seeds, decision, statistic=1.0, question="baseline", about="metric <loss>"):
    return Look(
        question=question,
        seeds=seeds,
        most=16,
        statistic=statistic,
        bounds=BOUNDS,
        decision=decision,
        about=about,
    )


def session(*paths):
    entries = tuple(
        Entry(name=f"run-{i}", kind="run", record=RunRecord(), looks=tuple(path))
        for i, path in enumerate(paths)
    )
    return SessionRecord(1, {}, (TestRecord(nodeid="a.py::t", entries=entries),))


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        ([], ""),
        ([looked(4, "within chance")], "4 of at most 16 seeds: within chance after the 1st look"),
        (
            [looked(4, "open"), looked(8, "changed")],
            "8 of at most 16 seeds: changed after the 2nd look",
        ),
        (
            [looked(4, "within chance"), looked(4, "holds", question="share")],
            "4 of at most 16 seeds: within chance and holds after the 1st look",
        ),
    ],
)
def test_the_path_in_words(looks, text):
    assert path_text(looks) == text


def test_the_terminal_has_one_line():
    one, other = [looked(4, "within chance")], [looked(4, "open"), looked(8, "within chance")]
    (line,) = [x for x in report.terminal_lines(session(one)) if x.startswith("seeds:")]
    assert line == "seeds:     4 of at most 16 seeds: within chance after the 1st look"
    (line,) = [x for x in report.terminal_lines(session(one, other)) if x.startswith("seeds:")]
    assert line == "seeds:     12 of at most 32 in 2 runs: 2 within chance"
    assert not [x for x in report.terminal_lines(session([])) if x.startswith("seeds:")]


def test_the_summary_has_one_row():
    text = markdown(session([looked(4, "within chance")]))
    assert "| seeds | 4 of at most 16 seeds: within chance after the 1st look |" in text
    assert "| seeds |" not in markdown(session([]))


def test_the_page_draws_the_statistic_against_its_bounds():
    path = [looked(4, "open", 2.0), looked(8, "changed", math.inf)]
    (view,) = look_views(path)
    points = {line.series: line.points for line in view.lines}
    assert points["statistic"][0] == (4.0, 2.0)
    assert points["statistic"][1][1] > 5.5, "above every bound"
    assert [x for x, _ in points["rejects"]] == [4.0, 8.0, 16.0]
    assert view.note == "4 seeds: 2, open; 8 seeds: inf, changed"
    data = json.loads(page_view(session(path)).data)
    (entry,) = data["tests"][0]["entries"]
    (chart,) = entry["looks"]
    assert [line[0] for line in chart["lines"]] == ["statistic", "accepts", "rejects"]
    assert data["texts"][entry["path"]] == path_text(path)


def test_each_question_has_a_chart():
    looks = [looked(4, "within chance"), looked(4, "holds", 4.0, "share", "")]
    assert [view.title for view in look_views(looks)] == [
        "against the baseline: metric <loss>, in standard deviations",
        "seeds that succeed",
    ]
