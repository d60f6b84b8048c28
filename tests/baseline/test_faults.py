"""Files that are no valid baselines: one error that names file and line, never a silent pass."""

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.baseline import PROVENANCE, network, records

from pytest_initcheck import BaselineError
from pytest_initcheck.baseline import Baselines, freeze
from pytest_initcheck.baseline.format import parse, render, render_long
from pytest_initcheck.records import RunRecord

RECORD = RunRecord(
    seeds=(0, 1),
    curves={"loss": ((1.0, 0.5), (2.0, 0.25))},
    metrics={"accuracy": (0.5, 0.75)},
    before=network(0, (4, 8, 3), batch=8).before,
)
TESTS = {"test_x": {"run": freeze(RECORD, PROVENANCE)}}
TEXT, LONG = render(TESTS), render_long(TESTS)
_PLACE = re.compile(r"\Asuites/a\.json:(\d+): ")


def fault(text: str) -> tuple[int, str]:
    """The line that the error names, and the whole message."""
    with pytest.raises(BaselineError) as caught:
        parse(text, "suites/a.json")
    message = str(caught.value)
    place = _PLACE.match(message)
    assert place, message
    assert f"line {place[1]}" in message
    assert "\n" not in message
    return int(place[1]), message


def line_with(part: str, text: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


EDITS = [
    (
        '"layers.0: weights.weight": {"dtype": "float32"',
        '"dtype": "float32"',
        '"dtype": 32',
        "text",
    ),
    ('"layers.0: weights.weight"', '"std": ', '"std": -', "at least 0"),
    ('"layers.0: weights.weight"', '"zero_share": 0.0', '"zero_share": 1.5', "share from 0 to 1"),
    ('"layers.0: weights.weight"', '"zero_share": 0.0', '"zero_share": true', "finite number"),
    ('"layers.0: weights.weight"', '"n": 32', '"n": 31.5', "whole number"),
    ('"layers.0: weights.weight"', '"n": 32', '"n": 3', "at most 3"),
    ('"layers.0: weights.weight"', '"n": 32', '"n": -32', "count"),
    ('"layers.0: weights.weight"', '"n": 32', '"m": 32', "'n' is missing"),
    ('"layers.0: weights.weight"', '"nonfinite": 0', '"nonfinite": 33', "at most n = 32"),
    ('"layers.0: weights.weight"', '"nonfinite": 0', '"nonfinite": 32', "no value is finite"),
    ('"layers.0: weights.weight"', '"max": ', '"max": -9', "min at most max"),
    ('"layers.0: weights.weight"', '"mean": ', '"mean": 9', "between min and max"),
    ('"layers.0: weights.weight"', '"std": 0', '"std": 40', "at most max - min"),
    ('"layers.0: weights.weight"', '"sampled": 32', '"sampled": 33', "sum is sampled"),
    ('"layers.0: weights.weight"', '"counts": [', '"counts": [7, ', "sum is sampled"),
    ('"layers.0: weights.weight"', '"counts": [', '"counts": [0.5, ', "whole number"),
    ('"layers.0: weights.weight"', '"low": -', '"low": 9', "low at most high"),
    ('"layers.0: weights.weight"', '"shape": [8, 4]', '"shape": "8, 4"', "list"),
    ('"layers.0: weights.weight"', '"shape": [8, 4]', '"shape": [8, null]', "whole number"),
    ('"layers.0: weights.weight"', "weights.weight", "weight.weight", "key like"),
    ('"layers.0: weights.weight"', "layers.0: ", "layers.7: ", '"layers.7: layer" is missing'),
    ('"layers.0: layer"', '"kind": "Linear"', '"kind": null', "text"),
    ('"layers.0: layer"', '"units": 8', '"width": 8', "no field 'width'"),
    ('"model": {', '"loss": ', '"loss": "low", "was": ', "no field 'was'"),
    ('"accuracy": [', "[0.5, 0.75]", "[0.5, null]", "finite number"),
    ('"accuracy": [', "[0.5, 0.75]", "0.5", "list"),
    ('"accuracy": [', "[0.5, 0.75]", '["NaN", 0.75]', "finite number"),
    ('"accuracy": [', "[0.5, 0.75]", "[NaN, 0.75]", "NaN is not a number"),
    ('"accuracy": [', "[0.5, 0.75]", "[0.5, -Infinity]", "Infinity is not a number"),
    ('"accuracy": [', "[0.5, 0.75]", "[0.5, 1e999]", "finite number"),
    ('"accuracy": [', "[0.5, 0.75]", f"[0.5, {'9' * 5000}]", ""),
    ('"accuracy": [', "[0.5, 0.75]", f"[0.5, {'9' * 400}]", "finite number"),
    ('"accuracy": [', "[0.5, 0.75]", "[0.5, 0.75,]", "not valid JSON"),
    ('"accuracy": [', "[0.5, 0.75]", "[0.5 0.75]", "not valid JSON"),
    ('"loss": {"length"', '"length": 2', '"length": 3', "3 values, found 2"),
    ('"loss": {"length"', '"seeds": 2', '"seeds": "two"', "whole number"),
    ('"loss": {"length"', '"sd": [0', '"sd": [-3', "at least 0"),
    ('"loss": {"length"', '"mean": [1.5', '"mean": [null', "null exactly where"),
    ('"seeds": [0', "[0, 1]", '["0", 1]', "whole number"),
    ('"provenance"', '"cpu"', "0", "text"),
    ('"provenance"', '"provenance": {', '"provenance": {"torch": "1", ', "stands twice"),
]


@pytest.mark.parametrize(("where", "old", "new", "said"), EDITS)
def test_an_edit_by_hand_is_found_on_its_line(where, old, new, said):
    found_on_its_line(LONG, where, old, new, said)


def found_on_its_line(text: str, where: str, old: str, new: str, said: str) -> None:
    lines = text.splitlines(keepends=True)
    number = line_with(where, text)
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new, 1)
    line, message = fault("".join(lines))
    assert line == number
    assert said in message


SHORT_EDITS = [
    ('"w.weight":', " s=8,4", " s=8", "do not fit each other"),
    ('"w.weight":', " s=8,4", " s=8,-4", "do not fit each other"),
    ('"w.weight":', " s=8,4", " s=8,x", "shape: expected a value"),
    ('"w.weight":', " s=8,4", ' t=8,4"', "not valid JSON"),
    ('"w.weight":', " s=8,4", " t=8,4", "no place for 't=8,4'"),
    ('"w.weight":', " s=8,4", " s=8,4 s=8,4", "no place for 's=8,4'"),
    ('"w.weight":', " s=8,4", " s=8,4 z=2.5", "do not fit each other"),
    ('"w.weight":', '"w.weight":"', '"w.weight":"9', "number of three digits"),
    ('"w.weight":', '"w.weight":".04', '"w.weight":".05', "do not fit each other"),
    ('"w.weight":', '"w.weight":"', '"w.weight":"= ', "the code has"),
    ('"w.weight":', '"w.weight":', '"w.weight":7,"w.w":', "line of a tensor"),
    ('"w.weight":', '"w.weight":', '"weights.weight":', "no field 'weights.weight'"),
    ('"w.weight":', '"w.weight":', '"w":', "no field 'w'"),
    ('"w.weight":', '"w.weight":"', '"w.weight":["', "not valid JSON"),
    ('"kind":"Linear"', '"kind":"Linear"', '"kind":null', "'kind' is missing"),
    ('"kind":"Linear"', '"units":8', '"width":8', "no field 'width'"),
    ('"kind":"Linear"', '"act":"relu"', '"nonlinearity":"relu"', "no field 'nonlinearity'"),
    ('"before":{', '"loss":', '"loss":"low","was":', "no field 'was'"),
    ('"outputs":', '"@layers.1"', '"@layers.7"', "no activations of 'layers.7'"),
    ('"accuracy":[', "[0.5,0.75]", "[0.5,null]", "finite number"),
    ('"accuracy":[', "[0.5,0.75]", "[NaN,0.75]", "NaN is not a number"),
    ('"loss":{"mean"', '"sd":[0', '"sd":[-3', "at least 0"),
    ('"loss":{"mean"', '"mean":[1.5,', '"mean":[', "1 values, found 2"),
    ('"seeds":[0', "[0,1]", '["0",1]', "whole number"),
    ('"made":', '"cpu"', "0", "text"),
    ('"made":', '"made":{', '"made":{"torch":"1",', "stands twice"),
]


@pytest.mark.parametrize(("where", "old", "new", "said"), SHORT_EDITS)
def test_an_edit_of_the_short_form_is_found_on_its_line(where, old, new, said):
    found_on_its_line(TEXT, where, old, new, said)


@pytest.mark.parametrize("key", ["seeds", "meta", "metrics", "curves", "provenance", "before"])
def test_null_takes_no_field_away(key):
    data = json.loads(TEXT)
    data["tests"]["test_x"]["run"][key] = None
    parse_or_name_the_line(json.dumps(data, indent=1))
    assert complaint(lambda: parse(json.dumps(data), "suites/a.json"))


@pytest.mark.parametrize("key", ["shape", "n", "dtype", "zero_share", "nonfinite", "histogram"])
def test_null_takes_no_field_of_a_tensor_away(key):
    data = json.loads(TEXT)
    layer = data["tests"]["test_x"]["run"]["before"]["layers"]["layers.0"]
    layer["w.weight"] = [layer["w.weight"], {key: None}]
    assert "w.weight" in fault(json.dumps(data, indent=1))[1]


def test_a_line_that_stands_twice():
    lines = TEXT.splitlines(keepends=True)
    number = line_with('"w.bias"', TEXT)
    lines.insert(number, lines[number - 1])
    line, message = fault("".join(lines))
    assert line == number + 1
    assert "'w.bias' stands twice" in message


def test_merge_conflicts():
    lines = TEXT.splitlines(keepends=True)
    number = line_with('"accuracy"', TEXT)
    conflict = ["<<<<<<< HEAD\n", lines[number - 1], "=======\n", lines[number - 1], ">>>>>>> b\n"]
    line, message = fault("".join([*lines[: number - 1], *conflict, *lines[number:]]))
    assert line == number
    assert "merge conflict" in message


@pytest.mark.parametrize("version", ["3", "0", "1.0", '"1"', "true", "null", "[1]"])
def test_a_foreign_version_says_how_to_regenerate(version):
    line, message = fault(TEXT.replace('"format":2', f'"format":{version}'))
    assert line == 2
    assert f"format {version}" in message
    assert "written by another version" in message
    assert "--initcheck-update" not in message


def test_a_foreign_version_may_look_different_in_everything_else():
    line, message = fault('{\n"what": [1,\n2],\n"format": 7}')
    assert line == 4
    assert "written by another version" in message


@pytest.mark.parametrize(
    "text", ["", "\n \n", "null", "[]", "1", '"format"', "{}", '{"tests": {}}', "{", "[" * 100_000]
)
def test_what_is_no_baseline_at_all(text):
    fault(text)


@pytest.mark.parametrize(
    "text", ['{"format": 1}', '{"format": 1, "tests": []}', '{"format": 1, "tests": {"a": 1}}']
)
def test_the_outer_form_is_checked(text):
    fault(text)


def test_deep_nesting_names_its_line():
    deep = '{"format": 1,\n"tests":\n' + "[" * 100_000
    assert fault(deep)[0] == 3


@pytest.mark.parametrize("end", range(1, 40))
@pytest.mark.parametrize("whole", [TEXT, LONG], ids=["short", "long"])
def test_a_cut_file_names_its_last_line(whole, end):
    text = whole.rstrip()[: -end * (len(whole) // 41)]
    line, message = fault(text)
    assert line == text.rstrip().count("\n") + 1
    assert "not valid JSON" in message


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([TEXT, LONG]), st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_found(whole, share):
    end = int(share * len(whole))
    if whole[end:].strip():
        line, _ = fault(whole[:end])
        assert 1 <= line <= whole.count("\n")


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([TEXT, LONG]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 30),
    st.text(alphabet='{}[]",:0123456789.-=@eE \nnulltrefasNaIiy', max_size=6),
)
def test_every_mutation_is_valid_or_found(whole, share, length, put):
    start = int(share * len(whole))
    parse_or_name_the_line(whole[:start] + put + whole[start + length :])


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([TEXT, LONG]), st.data())
def test_every_swap_of_values_is_valid_or_found(whole, data):
    odd = st.sampled_from([None, True, -1, 0, 2**70, 1e300, "", "nan", [], {}, [[]], {"a": 1}])
    value = json.loads(whole)
    holder, key = value, None
    while isinstance(holder, (dict, list)) and holder:
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(holder[key], (dict, list)) or data.draw(st.booleans()):
            break
        if not holder[key]:
            break
        holder = holder[key]
    holder[key] = data.draw(odd)
    parse_or_name_the_line(json.dumps(value, indent=1))


@settings(max_examples=60, deadline=None)
@given(records, st.integers(0, 10**6), st.text(max_size=3))
def test_mutations_of_other_records(record, at, put):
    text = render({"t": {"e": freeze(record)}})
    at %= len(text)
    parse_or_name_the_line(text[:at] + put + text[at + len(put) :])


def parse_or_name_the_line(text: str) -> None:
    said = complaint(lambda: parse(text, "suites/a.json"))
    if said is None:
        again = render(parse(text, "suites/a.json"))
        assert render(parse(again, "suites/a.json")) == again
    else:
        place = _PLACE.match(said)
        assert place, said
        assert 1 <= int(place[1]) <= text.count("\n") + 1


def complaint(read: Callable[[], object]) -> str | None:
    """What reading says against the file; only a BaselineError may say it."""
    try:
        read()
    except BaselineError as error:
        return str(error)
    return None


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(TEXT)))
def test_bytes_that_are_no_text(junk, at):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "test_x.json")
        file.write_bytes(TEXT.encode()[:at] + junk + TEXT.encode()[at:])
        said = complaint(lambda: Baselines(folder).entries("test_x.py::test_x"))
        assert said is None or re.search(r"test_x\.json:\d+: ", said)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "cp500"])
def test_another_encoding(encoding, tmp_path):
    (tmp_path / "test_x.json").write_bytes(TEXT.encode(encoding))
    with pytest.raises(BaselineError, match=r"test_x\.json:1: "):
        Baselines(tmp_path).entries("test_x.py::test_x")


def test_windows_line_ends_are_fine(tmp_path):
    (tmp_path / "test_x.json").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert Baselines(tmp_path).entries("test_x.py::test_x") == ("run",)


def test_reformatted_json_is_fine():
    again = parse(json.dumps(json.loads(TEXT), indent=4), "a.json")
    assert render(again) == TEXT


def test_a_huge_line_is_located_at_once():
    text = '{"format": 1, "tests": {"t": {"m": [' + "1, " * (4 << 20) + "1]}}}"
    began = time.process_time()
    for whole in (text, text.replace('"t":', '\n"t":')):
        assert re.match(r"a\.json:\d: ", complaint(lambda whole=whole: parse(whole, "a.json")))
    assert time.process_time() - began < 15, "without a bound it takes a minute"
