"""``initcheck report A B``: what differs between two runs, layer by layer, on one page."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from support.baseline import kaiming, network
from support.stored_runs import X, Y, command, run_of, store

from pytest_initcheck.cli.side_by_side import told_apart
from pytest_initcheck.records import Entry, Finding, TestRecord


def run(record):
    """A run of one test."""
    made = run_of(record)
    return dataclasses.replace(made, tests=made.tests[:1])


def data_of(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1].replace("\\u003c", "<"))


def entries(page):
    data = data_of(page)
    return {
        data["texts"][test["id"]]: [(data["texts"], entry) for entry in test["entries"]]
        for test in data["tests"]
    }


@pytest.fixture
def side_by_side(tmp_path, capsys, monkeypatch):
    """Stores two runs, draws them together, and gives status, output and page."""
    monkeypatch.chdir(tmp_path)

    def draw(first, second, *more):
        for name, run in (("main", first), ("branch", second)):
            store(tmp_path / name, run)
        code, out, err = command(capsys, "report", "main", "branch", *more)
        assert err == ""
        page = out.rpartition("report: ")[2].strip()
        return code, out, (tmp_path / page).read_text(encoding="utf-8")

    return draw


def test_a_layer_drawn_by_another_rule_is_named_with_both_numbers(side_by_side):
    code, out, page = side_by_side(run(network(0)), run(network(1, init=kaiming)))
    assert code == 0
    assert out.startswith("main and branch: 1 of 1 records differs\n")
    ((texts, entry),) = entries(page)[X]
    assert entry["baseline"]["status"] == "changed"
    _, head, rows = entry["sides"]
    titles = [texts[title] for title in head]
    assert titles[:3] == ["layer", "moment", "beyond what is allowed"]
    cells = [dict(zip(titles, (texts[cell] for cell in row), strict=True)) for row in rows]
    changed = [row for row in cells if "std" in row["beyond what is allowed"]]
    assert changed
    assert all(" → " in row["weight std"] for row in changed)
    assert data_of(page)["against"] == ["main", "branch"]


def test_a_run_agrees_with_itself(side_by_side):
    _, out, page = side_by_side(run(network(0)), run(network(0)))
    assert out.startswith("main and branch: all 1 records agree\n")
    assert '<h1 class="bad">' not in page
    assert "What to act on" not in page
    assert "Do the measurements of branch agree with those of main?" in page


def test_what_only_one_of_them_has_is_said(side_by_side):
    first = run(network(0))
    (test,) = first.tests
    second = dataclasses.replace(first, tests=(dataclasses.replace(test, nodeid=Y),))
    _, out, page = side_by_side(first, second)
    assert out.startswith("main and branch: no record in common")
    assert f"only in main: {X}" in page
    assert [entry["baseline"]["status"] for _, entry in entries(page)[Y]] == ["new"]


def test_a_fault_says_whether_the_other_run_has_it(side_by_side):
    def judged(verdict, *findings):
        made = run(network(0))
        entry = dataclasses.replace(made.tests[0].entries[0], verdict=verdict, findings=findings)
        return dataclasses.replace(made, tests=(TestRecord(nodeid=X, entries=(entry,)),))

    fault = Finding(
        id="IC101", check="zero", severity="error", layer="0", quantity="q", measured=0.0,
        limit=1.0, cause="c", remedy="r",
    )  # fmt: skip
    _, _, page = side_by_side(judged("pass"), judged("fail", fault))
    ((texts, entry),) = entries(page)[X]
    assert texts[entry["since"]] == "new: healthy in main"


def test_where_the_page_goes(side_by_side, tmp_path):
    runs = run(network(0)), run(network(0))
    assert "report: branch/side-by-side.html" in side_by_side(*runs)[1]
    assert "report: out.html" in side_by_side(*runs, "-o", "out.html")[1]
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("main/run.json", "branch/run.json", ("main", "branch")),
        ("ci/main/report/run.json", "ci/branch/report/run.json", ("main", "branch")),
        ("/a/cpu.zip", "/a/cuda.zip", ("cpu.zip", "cuda.zip")),
        ("one", "one/run.json", ("A", "B")),
    ],
)
def test_names_are_what_the_paths_do_not_share(first, second, names):
    assert told_apart(first, second) == names


def test_names_cannot_break_the_page(side_by_side, tmp_path, capsys):
    evil = "<script>alert(1)<"
    entry = Entry(name=evil, kind=evil, record=network(0))
    made = dataclasses.replace(run(network(0)), tests=(TestRecord(nodeid=evil, entries=(entry,)),))
    store(tmp_path / "a", made)
    store(tmp_path / evil, made)
    code, _, _ = command(capsys, "report", "a", evil)
    assert code == 0
    page = (tmp_path / evil / "side-by-side.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2


def test_three_runs_are_too_many(capsys):
    code, _, err = command(capsys, "report", "a", "b", "c")
    assert code == 2
    assert "3 runs: pass one, or two that stand side by side" in err
