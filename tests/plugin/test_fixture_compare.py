"""initcheck.compare: whatever holds numbers becomes a record."""

from __future__ import annotations

import fractions

import numpy as np
import pytest
import torch

from pytest_initcheck import InitcheckError, ModelRecord, RunRecord, diagnose, escape
from pytest_initcheck.plugin.metrics import as_record


def metrics(value):
    return as_record("name", value)[1].metrics


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, (1.0,)),
        (1.5, (1.5,)),
        (True, (1.0,)),
        (fractions.Fraction(1, 4), (0.25,)),
        ([1, 2.5], (1.0, 2.5)),
        ((1, 2), (1.0, 2.0)),
        (np.float32(0.5), (0.5,)),
        (np.array([1, 2]), (1.0, 2.0)),
        ([np.int64(3), torch.tensor(4.0)], (3.0, 4.0)),
        (torch.tensor(0.5), (0.5,)),
        (torch.tensor([1.0, 2.0], requires_grad=True), (1.0, 2.0)),
        (torch.tensor([1.0], dtype=torch.bfloat16), (1.0,)),
    ],
)
def test_numbers_of_any_library(value, expected):
    assert metrics({"cost": value}) == {"cost": expected}
    assert metrics(value) == {"name": expected}


def test_rows_are_curves_one_for_each_seed():
    record = as_record("name", {"cost": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "end": 1})[1]
    assert record.curves == {"cost": ((1.0, 2.0), (3.0, 4.0))}
    assert record.metrics == {"end": (1.0,)}


def test_values_that_are_not_finite_are_kept():
    assert metrics({"cost": [float("inf"), 1.0]}) == {"cost": (float("inf"), 1.0)}


def test_records_stay_as_they_are():
    run, model = RunRecord(seeds=(1,)), ModelRecord()
    assert as_record("name", run) == ("run", run)
    assert as_record("name", model) == ("diagnosis", RunRecord(before=model))


def test_records_of_another_librarys_numbers_become_plain():
    record = RunRecord(metrics={"cost": (np.float32(0.5), np.int64(2), float("nan"))})
    kind, plain = as_record("name", record)
    assert kind == "run"
    assert [type(value) for value in plain.metrics["cost"]] == [float] * 3
    assert plain.metrics["cost"][:2] == (0.5, 2.0)


@pytest.mark.parametrize("value", [object(), "text", None])
def test_record_that_holds_something_else_is_one_clear_error(value):
    with pytest.raises(InitcheckError, match="not a valid record"):
        as_record("name", RunRecord(metrics={"cost": (value,)}))


def test_escape_gives_its_record():
    found = escape(lambda w: (w**2).sum(), 1.0, lambda p: torch.optim.SGD(p, lr=0.1), 3)
    assert as_record("name", found) == ("escape", found.run_record())


def test_diagnosis_gives_its_record():
    found = diagnose(torch.nn.Linear(2, 2), (torch.randn(8, 2), torch.randn(8, 2)))
    assert as_record("name", found) == ("diagnosis", found.run_record())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", "'name' is str 'text'"),
        ({"cost": None}, "'cost' is NoneType"),
        ({"cost": 1j}, "'cost' is complex"),
        ({"cost": [1.0, "b"]}, "'cost' is str 'b'"),
        ({"cost": []}, "'cost' holds no number"),
        ({"cost": [[1.0], []]}, "'cost' holds no number"),
        ({"cost": [[[1.0]]]}, "'cost' is list"),
        ({}, "the mapping is empty"),
        (object, "'name' is type"),
    ],
)
def test_anything_else_is_one_clear_error(value, words):
    with pytest.raises(InitcheckError) as caught:
        as_record("name", value)
    assert words in str(caught.value)
    assert "pass a record, a diagnosis, a number" in str(caught.value)


def test_compare_returns_what_came_out(project):
    body = """
        import pytest
        def test_records(initcheck):
            assert initcheck.compare("cost", {value}).status == {status!r}
        @pytest.mark.initcheck(baseline=False)
        def test_is_off(initcheck):
            assert initcheck.compare("cost", {value}) is None
    """
    project.test(test_a=body.format(value=1.0, status="new"))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=body.format(value=1.0, status="match"))
    assert project.run().ret == 0
    project.test(test_a=body.format(value=2.0, status="changed"))
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["changed: 'cost' is not as in its baseline*"])


def test_names_that_are_taken_get_a_number(project):
    project.test(
        test_a="""
        def test_records(initcheck):
            for name in ("a-2", "a", "a", "a"):
                initcheck.compare(name, 1.0)
        """
    )
    project.run("--initcheck-baselines=off", "--initcheck-report=report/page.html")
    assert [name for _, name in project.entries()] == ["a-2", "a", "a-3", "a-4"]


@pytest.mark.parametrize("name", ["''", "None", "3"])
def test_name_that_is_no_text_is_one_clear_error(project, name):
    project.test(test_a=f"def test_records(initcheck): initcheck.compare({name}, 1.0)")
    result = project.run("--initcheck-baselines=off")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: compare: the name must be a text, not *"])
