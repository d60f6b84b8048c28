"""The text of a baseline: what is kept, how it looks, and that it is deterministic."""

import dataclasses
import json
import math
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from support.baseline import PROVENANCE, network, records, stats

from pytest_initcheck.baseline import freeze
from pytest_initcheck.baseline.format import FORMAT, parse, render, render_long
from pytest_initcheck.baseline.schema import rounded
from pytest_initcheck.baseline.stored import MOST_POINTS, band
from pytest_initcheck.records import LayerRecord, ModelRecord, RunRecord


def text_of(record: RunRecord, test: str = "test_x", name: str = "run") -> str:
    return render({test: {name: freeze(record, PROVENANCE)}})


def by_name(model: ModelRecord | None) -> dict[str, str] | None:
    # As text, since a ratio may be NaN, which equals nothing; the dicts' order is not kept.
    if model is None:
        return None
    return {layer.name: repr(_sorted(layer)) for layer in model.layers}


def _sorted(layer: LayerRecord) -> LayerRecord:
    dicts = ("weights", "gradients", "update_ratio")
    return dataclasses.replace(layer, **{n: dict(sorted(getattr(layer, n).items())) for n in dicts})


@settings(max_examples=60, deadline=None)
@given(records, st.text(max_size=8), st.text(max_size=8))
def test_round_trip(record, test, name):
    stored = freeze(record, PROVENANCE)
    text = render({test: {name: stored}})
    again = parse(text, "a.json")[test][name]
    assert render({test: {name: again}}) == text
    assert again.bands == stored.bands
    assert again.provenance == PROVENANCE
    assert by_name(again.record.before) == by_name(stored.record.before)


@settings(max_examples=40, deadline=None)
@given(records)
def test_freezing_twice_changes_nothing(record):
    once = freeze(record)
    text = render({"t": {"e": once}})
    again = dataclasses.replace(once, record=freeze(once.record).record)
    assert render({"t": {"e": again}}) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_seven_digits_are_kept(value):
    assert math.isclose(rounded(value), value, rel_tol=5.1e-7, abs_tol=1e-320)
    assert rounded(rounded(value)) == rounded(value)
    assert "-0" not in repr(rounded(-0.0))


def test_it_is_valid_json_with_the_format_on_the_second_line():
    text = text_of(network(0))
    data = json.loads(text)
    assert data["format"] == FORMAT
    assert text.splitlines()[1] == f'"format":{FORMAT},'
    assert text.endswith("}\n")


def test_one_line_per_tensor_metric_and_curve_and_keys_are_sorted():
    record = dataclasses.replace(
        network(0), metrics={"accuracy": (0.9, 0.91), "a second": (1.0, 2.0)}
    )
    lines = text_of(record).splitlines()
    tensors = [line for line in lines if re.match(r'"(w\.|g\.|a"|ga"|inputs|targets)', line)]
    assert len(tensors) == 3 * (2 + 2 + 2) + 2
    assert sum(line.startswith('"w.bias":"') for line in lines) == 3
    assert sum(line.startswith('"accuracy":[0.9,0.91]') for line in lines) == 1
    assert sum(line.startswith('"loss":[') for line in lines) == 1
    own = [line.split(":")[0] for line in tensors[1:7]]
    assert own == sorted(own)
    keys = list(json.loads("\n".join(lines[1:3]).join(["{", "0}"]).replace(",0}", "}")))
    assert keys == sorted(keys)


def test_a_change_of_one_layer_is_a_change_of_its_lines_only():
    before, changed = network(0), network(0)
    layer = changed.before.layers[1]
    moved = dataclasses.replace(layer, weights={**layer.weights, "bias": stats([0.0, 1.0] * 32)})
    model = dataclasses.replace(
        changed.before, layers=(changed.before.layers[0], moved, changed.before.layers[2])
    )
    changed = dataclasses.replace(changed, before=model)
    pairs = zip(text_of(before).splitlines(), text_of(changed).splitlines(), strict=True)
    assert [a.split(":")[0] for a, b in pairs if a != b] == ['"w.bias"']


def test_order_of_tests_entries_and_metrics_does_not_matter():
    a, b = freeze(RunRecord(metrics={"x": (1.0,), "y": (2.0,)})), freeze(network(0))
    other = freeze(RunRecord(metrics={"y": (2.0,), "x": (1.0,)}))
    assert render({"t": {"a": a, "b": b}, "s": {"a": a}}) == render(
        {"s": {"a": other}, "t": {"b": b, "a": other}}
    )


def test_names_that_look_like_the_format_itself_come_back():
    names = ["", "a: b", "layer: weights.x", "%3A", "a\nb", '"', "é\u2028", "\ud800"]
    layers = tuple(
        LayerRecord(name=name, kind="K", weights={n: stats([1.0]) for n in names}) for name in names
    )
    stored = freeze(RunRecord(before=ModelRecord(layers=layers)))
    data = render({"t": {"e": stored}}).encode("utf-8", "backslashreplace").decode()
    again = parse(data, "a.json")["t"]["e"].record.before
    assert {layer.name for layer in again.layers} == set(names)
    assert all(set(layer.weights) == set(names) for layer in again.layers)


def test_layers_come_back_in_their_natural_order():
    names = ["conv10", "conv2", "blocks.10.fc", "blocks.9.fc"]
    model = ModelRecord(layers=tuple(LayerRecord(name=name, kind="K") for name in names))
    again = parse(text_of(RunRecord(before=model)), "a")["test_x"]["run"].record.before
    assert [layer.name for layer in again.layers] == [
        "blocks.9.fc", "blocks.10.fc", "conv2", "conv10"
    ]  # fmt: skip


def test_long_curves_are_thinned_to_their_shape():
    curve = tuple(float(i) for i in range(5001))
    kept = band((curve, curve))
    assert len(kept.mean) == MOST_POINTS
    assert (kept.positions[0], kept.positions[-1]) == (0, 5000)
    (full,) = kept.curves()
    assert len(full) == 5001
    assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(full, curve, strict=True))


def test_curves_over_seeds_come_back_with_their_mean_and_spread():
    stored = freeze(
        RunRecord(seeds=(0, 1, 2), curves={"loss": ((1.0, 4.0), (2.0, 5.0), (3.0, 9.0))})
    )
    low, mean, high = stored.expected().curves["loss"]
    assert mean == (2.0, 6.0)
    assert high[0] - mean[0] == 1.0
    assert mean[0] - low[0] == 1.0


def test_seeds_that_diverged_are_counted():
    kept = band(((1.0, math.nan), (3.0, 2.0), (math.inf, 4.0)))
    assert kept.nonfinite == (1, 1)
    assert kept.mean == (2.0, 3.0)


def test_a_diverged_metric_is_stored():
    text = text_of(RunRecord(metrics={"loss": (math.nan, math.inf, 1.0)}))
    values = parse(text, "a")["test_x"]["run"].record.metrics["loss"]
    assert math.isnan(values[0])
    assert values[1:] == (math.inf, 1.0)


def test_the_size_of_a_model_of_161_tensors_stays_small():
    layer = network(0).before.layers[1]
    one = dataclasses.replace(layer, gradients={}, activations=None, activation_gradients=None)
    layers = tuple(dataclasses.replace(one, name=f"blocks.{i}.fc") for i in range(81))
    text = text_of(RunRecord(before=ModelRecord(layers=layers)))
    assert text.count('"w.') == 162
    assert len(text) < 30_000


def test_the_long_form_has_a_line_for_each_test_entry_and_value():
    text = render_long({"t": {"m": freeze(RunRecord(metrics={"a": (1.0,)}))}})
    lines = text.splitlines()
    assert ' "format": 1,' in lines
    assert [lines.index(line) for line in (' "tests": {', '  "t": {', '   "m": {')] == [2, 3, 4]
    assert json.loads(text)["tests"]["t"]["m"]
