"""The summary in Markdown: everything that a user names is text, and tables stay short."""

from __future__ import annotations

import dataclasses

import pytest
from support import ci

from pytest_initcheck.records import Comparison
from pytest_initcheck.report.markdown import MOST_ROWS, escaped, markdown
from pytest_initcheck.report.problems import problems

HOSTILE = [
    "a|b",
    "`code`",
    "<script>alert(1)</script>",
    "<!-- comment",
    "[text](javascript:x)",
    "![x](y)",
    "line\nbreak\r\n# heading",
    "\\|",
    "\ud800",
    "\x1b[31mred",
    "@somebody",
    "&lt;",
    "**bold** __bold__ ~~gone~~",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_user_is_read_as_markup(text):
    found = escaped(text)
    assert "\n" not in found
    plain = found
    for special in "\\`*_{}[]()#+!|~$@-":
        plain = plain.replace("\\" + special, "")
    assert not set(plain) & set("`*_{}[]()#+!|~$@-\\<>\x1b")
    found.encode("utf-8")


def test_a_hostile_name_leaves_the_table_whole():
    bad = "x|y`<b>\n| a |"
    made = ci.session(
        ci.finding(layer=bad, remedy=bad), nodeid=bad, name=bad, comparison=ci.changed(key=bad)
    )
    text = markdown(dataclasses.replace(made, notes=(bad,)))
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} == {3, 6, 8}
    assert "<b>" not in text


def test_the_worst_differences_and_how_many_are_left():
    text = markdown(ci.session(comparison=ci.changed(5)))
    assert text.count("| metric cost ") == 3
    assert "| m | and 2 more |" in text


def test_many_findings_are_cut():
    found = [ci.finding(layer=str(i)) for i in range(MOST_ROWS + 2)]
    text = markdown(ci.session(*found))
    assert text.count("| IC101 zero |") == MOST_ROWS
    assert "and 2 more findings" in text


def test_what_is_ignored_or_no_error_is_no_failed_health():
    ignored = ci.finding(ignored="as in the paper")
    text = markdown(ci.session(ci.finding(severity="warning"), ignored=(ignored,)))
    assert "Failed health" not in text
    assert "| ignored | 1 finding |" in text


def test_a_missing_record_of_an_unhealthy_start_follows_from_its_findings():
    missing = Comparison(status="missing")
    sick = problems(ci.session(ci.finding(), comparison=missing))
    assert [problem.rule for problem in sick] == ["IC101"]
    assert [problem.rule for problem in problems(ci.session(comparison=missing))] == [
        "baseline-missing"
    ]
