"""run.json and the files around it: written whole or not at all, read back or clearly refused."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.report import HOSTILE, hostile, session

from pytest_initcheck import report
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import (
    Consequence,
    Entry,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TensorStats,
    TestRecord,
)

text = st.text(max_size=12)
numbers = st.floats(width=64) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308, 5e-324])
st.register_type_strategy(float, numbers)
st.register_type_strategy(str, text)
st.register_type_strategy(Consequence, text.map(Consequence))
sessions = st.builds(
    SessionRecord,
    format=st.just(1),
    provenance=st.dictionaries(text, text, max_size=2),
    tests=st.lists(st.from_type(TestRecord), max_size=2).map(tuple),
    notes=st.lists(text, max_size=2).map(tuple),
)
relaxed = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def same(a: SessionRecord, b: SessionRecord) -> bool:
    # NaN differs from itself, so that records are compared as they are written.
    return report.run_json(a) == report.run_json(b)


def written(tmp_path, record: SessionRecord):
    file = tmp_path / "run.json"
    file.write_text(report.run_json(record), encoding="utf-8")
    return file


@relaxed
@given(sessions)
def test_any_session_comes_back_as_it_was_and_fills_a_page(tmp_path_factory, record):
    file = written(tmp_path_factory.mktemp("run"), record)
    assert same(report.read_run(file), record)
    page = report.render(record)
    assert page.rstrip().endswith("</html>")
    report.terminal_lines(record, "report.html")


def test_page_is_made_from_run_json_alone(tmp_path):
    page = report.write(session(), tmp_path / "first.html")
    again = report.render(report.read_run(tmp_path / "run.json"))
    assert page.read_text(encoding="utf-8") == again


def test_same_session_gives_same_bytes(tmp_path):
    files = [report.write(session(), tmp_path / d / "r.html") for d in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    runs = [file.with_name("run.json").read_bytes() for file in files]
    assert runs[0] == runs[1]


def test_run_json_is_strict_json_with_one_line_per_test():
    nan = replace(session(), tests=(_test(metrics={"x": (math.nan, math.inf)}), _test()))
    lines = report.run_json(nan).splitlines()
    assert "NaN" not in "".join(lines)
    assert sum(line.startswith('{"nodeid"') for line in lines) == 2
    assert json.loads("\n".join(lines))["tests"][0]["entries"][0]["record"]["metrics"] == {
        "x": ["nan", "inf"]
    }


def test_lone_surrogates_survive(tmp_path):
    record = SessionRecord(1, {"path": "a\udcffb"}, (TestRecord(nodeid="t\udcff.py::test_x"),))
    report.write(record, tmp_path / "r.html")
    assert report.read_run(tmp_path / "run.json") == record


def test_numpy_scalars_are_written_as_numbers():
    np = pytest.importorskip("numpy")
    record = SessionRecord(1, {}, (_test(metrics={"x": (np.float32(0.5), np.float32("nan"))}),))
    assert '"x":[0.5,"nan"]' in report.run_json(record)


def test_what_is_no_number_is_refused_by_name():
    record = SessionRecord(1, {}, (_test(metrics={"x": (object(),)}),))
    with pytest.raises(InitcheckError, match="object"):
        report.run_json(record)


def _test(**changes) -> TestRecord:
    return TestRecord(
        nodeid="test_a.py::test_x",
        entries=(Entry(name="e", kind="run", record=RunRecord(**changes)),),
    )


def test_every_truncation_of_run_json_is_refused(tmp_path):
    small = SessionRecord(1, {"a": "b"}, (_test(metrics={"x": (1.0,)}),), ("note",))
    whole = report.run_json(small).rstrip()
    file = tmp_path / "run.json"
    for end in range(len(whole)):
        file.write_text(whole[:end], encoding="utf-8")
        with pytest.raises(InitcheckError, match=r"run\.json"):
            report.read_run(file)


@relaxed
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | text,
        lambda x: st.lists(x) | st.dictionaries(text, x),
    )
)
def test_foreign_json_is_refused(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("run") / "run.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InitcheckError, match=r"run\.json"):
        report.read_run(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 100_000, "not a run.json|not valid JSON"),
        (b'{"format": 2, "provenance": {}}', "format 2"),
        (b'{"format": true, "provenance": {}}', "format True"),
        (b'{"provenance": {}}', "no field 'format'"),
        (b'{"format": 1}', "provenance"),
        (b'{"format": 1, "provenance": {"a": 1}}', r"provenance\.a"),
        (b'{"format": 1, "provenance": {}, "tests": [{"nodeid": 3}]}', r"tests\[0\]\.nodeid"),
        (b'{"format": 1, "provenance": {}, "more": 1}', "more"),
    ],
)
def test_corrupt_run_json_is_refused_with_its_place(tmp_path, content, words):
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(InitcheckError, match=words) as caught:
        report.read_run(file)
    assert str(file) in str(caught.value)


def test_error_names_the_line_of_broken_json(tmp_path):
    lines = report.run_json(session()).splitlines()
    lines[5] = lines[5][:40]
    file = tmp_path / "run.json"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InitcheckError, match=r"run\.json:[67]:"):
        report.read_run(file)


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(InitcheckError, match="cannot be read"):
            report.read_run(path)


def test_report_makes_its_folders_and_leaves_nothing_else(tmp_path):
    page = report.write(session(), tmp_path / "a" / "b" / "r.html")
    assert sorted(os.listdir(page.parent)) == ["r.html", "run.json"]
    assert stat.S_IMODE(page.stat().st_mode) & stat.S_IRUSR


def test_what_was_read_is_not_written_again(tmp_path):
    report.write(session(), tmp_path / "r.html")
    data = tmp_path / "run.json"
    before = data.stat().st_mtime_ns
    report.write(report.read_run(data), tmp_path / "again.html", data)
    assert data.stat().st_mtime_ns == before
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "r.html").read_bytes()
    other = report.write(report.read_run(data), tmp_path / "other" / "r.html", data)
    assert other.with_name("run.json").read_bytes() == data.read_bytes()


def test_existing_folder_gets_report_html(tmp_path):
    assert report.write(session(), tmp_path) == tmp_path / "report.html"


def test_page_cannot_take_the_name_of_its_data(tmp_path):
    with pytest.raises(InitcheckError, match=r"report\.html"):
        report.write(session(), tmp_path / "run.json")
    assert not os.listdir(tmp_path)


def test_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InitcheckError, match="cannot write the report"):
        report.write(session(), tmp_path / "file" / "r.html")


def test_rendering_that_raises_leaves_the_data_and_no_page(tmp_path, monkeypatch):
    def fail(session, against):
        raise ZeroDivisionError

    report.write(SessionRecord(1, {}), tmp_path / "r.html")
    monkeypatch.setattr("pytest_initcheck.report.page.render_page", fail)
    with pytest.raises(ZeroDivisionError):
        report.write(session(), tmp_path / "r.html")
    assert sorted(os.listdir(tmp_path)) == ["run.json"]
    assert same(report.read_run(tmp_path / "run.json"), session())


def test_a_write_that_fails_keeps_the_old_file_and_no_other(tmp_path, monkeypatch):
    page = report.write(SessionRecord(1, {}), tmp_path / "r.html")
    before = page.with_name("run.json").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InitcheckError, match="No space left"):
        report.write(session(), page)
    assert sorted(os.listdir(tmp_path)) == ["r.html", "run.json"]
    assert page.with_name("run.json").read_bytes() == before


def test_hostile_strings_come_back_as_they_were(tmp_path):
    report.write(hostile(), tmp_path / "r.html")
    assert same(report.read_run(tmp_path / "run.json"), hostile())
    assert HOSTILE not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_empty_tensors_and_models_are_written(tmp_path):
    empty = ModelRecord(inputs=TensorStats(n=0, mean=None, std=None, min=None, max=None))
    record = SessionRecord(1, {}, (_test(before=empty, after=ModelRecord()),))
    page = report.write(record, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "test_x" in page
