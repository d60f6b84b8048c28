"""Panels of the page: the built-in one, and those that other distributions bring."""

from __future__ import annotations

import json

import pytest

from pytest_initcheck.records import Entry, RunRecord, SessionRecord, TestRecord
from pytest_initcheck.report import FORMAT, render
from pytest_initcheck.report.panels import Panels, registered
from pytest_initcheck.report.view import page_view

ENTRY = Entry(
    name="run", kind="run", record=RunRecord(seeds=tuple(range(20)), meta={"epochs": "3"})
)
PANEL = """
    from markupsafe import Markup
    from pytest_initcheck.report.panels import Drawing, Facts, Table, Text

    class Shown:
        title = "Ours <b>"

        def parts(self, entry):
            yield Text(Markup("<script>alert(1)</script>"))
            yield Facts([("kind", entry.kind), ("n", 3)])
            yield Table(head=("a", "b"), rows=[("x<", 1.5)])
            yield Drawing("a <drawing>", "<svg xmlns='http://www.w3.org/2000/svg'/>")
"""
POINT = "ours = acme:Shown"


TEST = TestRecord(nodeid="test_a.py::test_a", outcome="passed", entries=(ENTRY,))


def page() -> str:
    return render(SessionRecord(FORMAT, {}, (TEST,)))


def panels():
    """The texts of the page, and the panels that refer to them."""
    data = json.loads(page_view(SessionRecord(FORMAT, {}, (TEST,))).data)
    return data["texts"], data["tests"][0]["entries"][0]["panels"]


def test_how_it_was_measured_is_a_panel():
    texts, ((title, ((kind, pairs),)),) = panels()
    assert (texts[title], kind) == ("How it was measured", "facts")
    told = {texts[key]: texts[value] for key, value in pairs}
    assert told["seeds"].endswith("14, 15 and 4 more")
    assert told["epochs"] == "3"


def test_a_panel_that_shows_nothing_is_left_out():
    assert Panels.available().of(Entry(name="a", kind="run", record=RunRecord())) == ()


def test_a_panel_of_a_distribution_is_shown_and_escaped(distributions):
    distributions.add("acme", panels=POINT, code=PANEL)
    texts, (first, (title, parts)) = panels()
    assert [texts[first[0]], texts[title]] == ["How it was measured", "Ours <b>"]
    assert [part[0] for part in parts] == ["text", "facts", "table", "drawing"]
    assert texts[parts[0][1]] == "<script>alert(1)</script>"
    assert texts[parts[1][1][1][1]] == "3"
    assert [texts[cell] for cell in parts[2][2][0]] == ["x<", "1.5"]
    assert "<script>alert" not in page()


@pytest.mark.parametrize(
    ("point", "code", "words"),
    [
        ("ours = nothing_there:Shown", PANEL, "cannot be loaded: ModuleNotFoundError"),
        (POINT, PANEL.replace("title =", "name ="), "a panel has a title"),
        (POINT, PANEL.replace("def parts", "def draw"), "Shown has no method parts"),
        (POINT, PANEL + "\n        protocol = 9", "speaks protocol 9"),
    ],
    ids=["import", "title", "method", "protocol"],
)
def test_a_broken_panel_is_a_note_that_names_its_distribution(distributions, point, code, words):
    distributions.add("acme", panels=point, code=code)
    found = Panels.available()
    (note,) = found.notes
    assert "'ours' of the distribution acme" in note
    assert words in note
    assert len(found.panels) == len(registered())
    assert "a panel is not shown" in page()


@pytest.mark.parametrize("line", ["raise ValueError('no')", "yield '<b>'", "yield Facts([3])"])
def test_a_panel_that_fails_says_so_in_its_place(distributions, line):
    code = PANEL.partition("yield")[0] + line
    distributions.add("acme", panels=POINT, code=code)
    texts, (_, (_, ((kind, told),))) = panels()
    assert kind == "text"
    assert "'ours' of the distribution acme could not draw this" in texts[told]
