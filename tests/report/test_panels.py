"""Panels of the page: the built-in one, and those that other distributions bring."""

from __future__ import annotations

import pytest

from pytest_initcheck.records import Entry, RunRecord, SessionRecord, TestRecord
from pytest_initcheck.report import FORMAT, render
from pytest_initcheck.report.panels import Panels

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


def page() -> str:
    test = TestRecord(nodeid="test_a.py::test_a", outcome="passed", entries=(ENTRY,))
    return render(SessionRecord(FORMAT, {}, (test,)))


def test_how_it_was_measured_is_a_panel():
    html = page()
    assert "<summary>How it was measured</summary>" in html
    assert "14, 15 and 4 more</dd>" in html
    assert "<dt>epochs</dt><dd>3</dd>" in html


def test_a_panel_that_shows_nothing_is_left_out():
    assert Panels.available().of(Entry(name="a", kind="run", record=RunRecord())) == ()


def test_a_panel_of_a_distribution_is_shown_and_escaped(distributions):
    distributions.add("acme", panels=POINT, code=PANEL)
    html = page()
    assert "<summary>Ours &lt;b&gt;</summary>" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert" not in html
    assert "<dt>n</dt><dd>3</dd>" in html
    assert '<th scope="row">x&lt;</th><td class="n">1.5</td>' in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert html.index("How it was measured") < html.index("Ours &lt;b&gt;")


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
    assert len(found.panels) == 1
    assert "a panel is not shown" in page()


@pytest.mark.parametrize("line", ["raise ValueError('no')", "yield '<b>'", "yield Facts([3])"])
def test_a_panel_that_fails_says_so_in_its_place(distributions, line):
    code = PANEL.partition("yield")[0] + line
    distributions.add("acme", panels=POINT, code=code)
    html = page()
    assert "&#39;ours&#39; of the distribution acme could not draw this" in html
    assert "<dt>epochs</dt>" in html
