"""``initcheck history``: a table by time, gaps, a trend that is one, a plot, data."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import zipfile

import pytest
from support.baseline import network
from support.stored_runs import X, Y, command, run_of, store

from pytest_initcheck.records import Entry, Finding, RunRecord, TestRecord


def session(metrics, day=1, nodeid=Y, **provenance):
    """A run of that day that recorded these metrics."""
    entry = Entry(name="m", kind="metrics", record=RunRecord(metrics=metrics))
    time = {"time": f"2030-01-{day:02}T00:00:00+00:00"}
    made = run_of(RunRecord())
    tests = (TestRecord(nodeid=nodeid, entries=(entry,)),)
    return dataclasses.replace(made, provenance=made.provenance | time | provenance, tests=tests)


def stored(tmp_path, values, name="accuracy"):
    """Runs of consecutive days; None is a run that did not record the metric."""
    for day, value in enumerate(values, 1):
        metrics = {"other": (1.0,)} if value is None else {name: (value,)}
        store(tmp_path / f"runs/{day:02}", session(metrics, day))
    return str(tmp_path / "runs")


def data(capsys, *arguments):
    code, out, err = command(capsys, "history", *arguments, "--json")
    assert err == ""
    return code, json.loads(out)


def accuracy(found):
    (one,) = [row for row in found["series"] if row["quantity"] == "accuracy"]
    return one


def test_twelve_updates_of_one_point_are_a_trend(tmp_path, capsys):
    folder = stored(tmp_path, [0.90 - 0.01 * i for i in range(12)])
    code, out, _ = command(capsys, "history", folder)
    (row,) = [line for line in out.splitlines() if line.startswith(Y)]
    assert code == 1
    assert row.split()[-4:] == ["-0.01", "-0.11", "4.2e-09", "trend"]
    assert row.split()[3:15] == [f"{0.90 - 0.01 * i:.4g}" for i in range(12)]
    assert out.splitlines()[-1].startswith("1 trend over all 12 runs")


def test_what_varies_without_a_direction_is_no_trend(tmp_path, capsys):
    draw = random.Random(0)
    code, found = data(capsys, stored(tmp_path, [draw.gauss(0.9, 0.01) for _ in range(12)]))
    assert (code, accuracy(found)["trend"]) == (0, False)
    assert accuracy(found)["p"] > 0.05


def test_runs_stand_in_the_order_of_their_time(tmp_path, capsys):
    paths = [
        store(tmp_path / f"{day}", session({"accuracy": (float(day),)}, day)) for day in (3, 1, 2)
    ]
    _, found = data(capsys, *paths)
    assert accuracy(found)["values"] == [1.0, 2.0, 3.0]
    assert [run["name"] for run in found["runs"]] == [paths[1], paths[2], paths[0]]


def test_times_are_of_one_zone(tmp_path, capsys):
    early = session({"accuracy": (1.0,)}, time="2030-01-02T01:00:00+02:00")
    late = session({"accuracy": (2.0,)}, time="2030-01-02T00:30:00Z")
    paths = [store(tmp_path / "a", late), store(tmp_path / "b", early)]
    assert accuracy(data(capsys, *paths)[1])["values"] == [1.0, 2.0]


def test_a_run_without_the_metric_is_a_gap(tmp_path, capsys):
    code, found = data(capsys, stored(tmp_path, [1.0, None, 3.0, 4.0, None, 6.0]))
    one = accuracy(found)
    assert one["values"] == [1.0, None, 3.0, 4.0, None, 6.0]
    assert (one["n"], one["rate"], one["change"], code) == (4, 1.0, 5.0, 0)
    _, out, _ = command(capsys, "history", str(tmp_path / "runs"))
    assert " 1  -  3  4  -  6 " in out


def test_the_last_runs_alone(tmp_path, capsys):
    folder = stored(tmp_path, [float(i) for i in range(8)] + [7.0] * 5)
    assert accuracy(data(capsys, folder)[1])["trend"]
    one = accuracy(data(capsys, folder, "--last", "5")[1])
    assert (one["trend"], one["rate"], one["n"], len(one["values"])) == (False, 0.0, 5, 13)


def test_what_stays_in_the_last_runs_takes_no_part_of_the_error(tmp_path, capsys):
    for day in range(1, 11):
        still = {f"still {i}": (float(min(day, 4)),) for i in range(4)}
        gaps = {f"gap {i}": (1.0,) for i in range(4) if day != 8}
        store(tmp_path / f"{day:02}", session({"accuracy": (float(day),)} | still | gaps, day))
    one = accuracy(data(capsys, str(tmp_path), "--last", "5")[1])
    assert (one["p"], one["trend"]) == (pytest.approx(2 / 120), True)


def test_a_metric_may_be_called_as_a_row_of_ours(tmp_path, capsys):
    folder = stored(tmp_path, [7.0, 9.0], name="verdict")
    code, out, _ = command(capsys, "history", folder)
    assert code == 0
    assert any("metric verdict" in line and "7" in line.split() for line in out.splitlines())


def test_infinities_of_both_signs_have_no_mean(tmp_path, capsys):
    for day, values in ((1, (float("inf"), float("-inf"))), (2, (1e308, -1e308)), (3, (1.0,))):
        store(tmp_path / f"{day}", session({"accuracy": values}, day))
    assert accuracy(data(capsys, str(tmp_path))[1])["values"] == ["nan", 0.0, 1.0]


def test_a_change_beyond_all_floats_is_told(tmp_path, capsys):
    assert accuracy(data(capsys, stored(tmp_path, [-1e308, 1e308]))[1])["change"] == "inf"


def test_a_value_that_is_no_number_is_told_and_not_counted(tmp_path, capsys):
    code, found = data(capsys, stored(tmp_path, [1.0, float("nan"), 2.0]))
    assert accuracy(found)["values"] == [1.0, "nan", 2.0]
    assert (accuracy(found)["n"], code) == (2, 0)


def test_health_and_loss_have_rows(tmp_path, capsys):
    finding = Finding(
        id="IC101", check="zero", severity="error", layer="0", quantity="q", measured=1.0,
        limit=0.0, cause="c", remedy="r",
    )  # fmt: skip
    for day, verdict in enumerate(("pass", "fail"), 1):
        made = run_of(network(day))
        (first, *rest) = made.tests
        faults = (finding,) if verdict == "fail" else ()
        entry = dataclasses.replace(first.entries[0], verdict=verdict, findings=faults)
        tests = (dataclasses.replace(first, entries=(entry,)), *rest)
        time = {"time": f"2030-01-{day:02}"}
        store(tmp_path / f"{day}", dataclasses.replace(made, provenance=time, tests=tests))
    _, out, _ = command(capsys, "history", str(tmp_path))
    rows = {line.split("  ")[2].strip(): line for line in out.splitlines() if line.startswith(X)}
    assert rows["verdict"].split()[3:7] == ["pass", "fail", "+2", "+2"]
    assert rows["errors"].split()[3:5] == ["0", "1"]
    _, out, _ = command(capsys, "history", str(tmp_path), "--all")
    assert "warnings" in out


def test_only_some_rows(tmp_path, capsys):
    for day in (1, 2):
        store(tmp_path / f"{day}", session({"a": (day,), "b": (-day,)}, day))
    _, found = data(capsys, str(tmp_path), "--only", "* m b")
    assert [row["quantity"] for row in found["series"]] == ["b"]


def test_what_agrees_is_left_out_and_counted(tmp_path, capsys):
    for day in (1, 2):
        store(tmp_path / f"{day}", session({"still": (1.0,), "moves": (float(day),)}, day))
    _, out, _ = command(capsys, "history", str(tmp_path))
    assert " still " not in out
    assert "1 more that every run agrees in; --all shows them" in out
    assert " still " in command(capsys, "history", str(tmp_path), "--all")[1]


def test_a_run_that_holds_nan_is_still_one(tmp_path, capsys):
    folder = stored(tmp_path, [float("nan"), 2.0])
    _, found = data(capsys, folder, f"{folder}/01")
    assert accuracy(found)["values"] == ["nan", 2.0]


def test_a_zip_and_a_run_given_twice(tmp_path, capsys):
    paths = [
        store(tmp_path / f"{day}", session({"accuracy": (float(day),)}, day)) for day in (1, 2)
    ]
    with zipfile.ZipFile(tmp_path / "ci.zip", "w") as archive:
        archive.write(paths[1], "job/run.json")
    _, found = data(capsys, *paths, str(tmp_path / "ci.zip"), str(tmp_path / "1"))
    assert accuracy(found)["values"] == [1.0, 2.0]


@pytest.mark.parametrize(("form", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_plot(tmp_path, capsys, form, begin):
    folder = stored(tmp_path, [1.0, None, 3.0, 2.0], name="$\\frac{<b>$")
    path = tmp_path / f"plots/history.{form}"
    assert command(capsys, "history", folder, "--plot", str(path))[0] == 0
    content = path.read_bytes()
    assert content.startswith(begin)
    if form == "svg":
        assert b"<b>" not in content
        assert rb"$\frac{&lt;b&gt;$" in content


def test_wrong_use_is_one_line(tmp_path, capsys):
    folder = stored(tmp_path, [1.0, 1.0])
    timeless = dataclasses.replace(session({"a": (1.0,)}), provenance={})
    untimed = store(tmp_path / "untimed", timeless)
    for arguments, words in (
        (["nowhere"], "nowhere: cannot be read"),
        ([f"{folder}/01"], "1 run has no history"),
        ([folder, untimed], "untimed/run.json: was made at no time"),
        ([folder, "--plot", "a.pdf"], "pass a name that ends in .png or .svg"),
        ([folder, "--plot", "a.png"], "the runs agree in all"),
        ([folder, "--only", "nothing"], "none of 2 runs"),
        ([folder, "--last", "0"], "is not a whole number from 1 up"),
    ):
        code, out, err = command(capsys, "history", *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), arguments
        assert words in err


def test_the_history_as_a_page(tmp_path, capsys):
    folder = stored(tmp_path, [0.90 - 0.01 * i for i in range(12)])
    page = tmp_path / "pages" / "h.html"
    page.parent.mkdir()
    code, _, err = command(capsys, "history", folder, "--page", str(page))
    text = page.read_text(encoding="utf-8")
    assert (code, err) == (1, f"page: {page}\n")
    assert "drifts over 12 runs</h1>" in text
    assert text.count("<circle") == 12
    assert "p 4.2e-09" in text
    assert "<script" not in text


def test_a_page_lifts_its_pen_at_a_gap(tmp_path, capsys):
    folder = stored(tmp_path, [0.5, None, 0.7, float("nan"), 0.6])
    command(capsys, "history", folder, "--only", "accuracy", "--page", str(tmp_path))
    text = (tmp_path / "history.html").read_text(encoding="utf-8")
    assert "Nothing drifts over 5 runs" in text
    (path,) = re.findall(r'class="track" d="([^"]*)"', text)
    assert (path.count("M"), path.count("L"), text.count("<circle")) == (3, 0, 3)


def test_what_a_page_shows_is_text(tmp_path, capsys):
    for day in (1, 2):
        name = "<img src=x onerror=alert(1)>"
        store(tmp_path / f"runs/{day}", session({name: (float(day),)}, day, nodeid=name))
    command(capsys, "history", str(tmp_path / "runs"), "--page", str(tmp_path / "h.html"))
    text = (tmp_path / "h.html").read_text(encoding="utf-8")
    assert text.count("<img") == 1  # the brand's
    assert "&lt;img src=x" in text
