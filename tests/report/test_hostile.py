"""A run.json that says a thing twice, or holds what is no number, is refused."""

import json

import pytest

from pytest_initcheck import report
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.report.write import parse_run

WHOLE = '{"format": 1, "provenance": {"a": "b"}, "tests": []}'


def test_the_whole_one_is_read():
    assert parse_run(WHOLE).provenance == {"a": "b"}


@pytest.mark.parametrize(
    ("part", "other", "said"),
    [
        ('"a": "b"', '"a": "b", "a": "c"', "the key 'a' stands twice"),
        ('"tests": []', '"tests": [], "tests": []', "the key 'tests' stands twice"),
        ('"b"', "NaN", "NaN is not a number"),
        ('"b"', "-Infinity", "-Infinity is not a number"),
        ("[]", "[" * 100_000, "run.json"),
        ('"b"', "1" * 5000, "run.json"),
    ],
)
def test_what_is_refused(part, other, said):
    with pytest.raises(InitcheckError, match=said):
        parse_run(WHOLE.replace(part, other))


def test_a_number_out_of_all_bounds():
    entry = {"name": "e", "kind": "run", "record": {"metrics": {"m": [1e308]}}}
    text = json.dumps(
        {"format": 1, "provenance": {}, "tests": [{"nodeid": "t", "entries": [entry]}]}
    )
    assert report.render(parse_run(text))
    with pytest.raises(InitcheckError, match="finite"):
        parse_run(text.replace("1e+308", "1e+999"))
