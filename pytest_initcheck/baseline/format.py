"""The text of a baseline file: one line per tensor, metric or curve, keys sorted, valid JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pytest_initcheck.baseline import json_lines, keys, read, text
from pytest_initcheck.baseline.stored import Band, Stored
from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats

# 1: the first.
FORMAT = 1
Tests = dict[str, dict[str, Stored]]


class _Branch(dict[str, Any]):
    """An object that is written over several lines, one per member."""


def render(tests: Mapping[str, Mapping[str, Stored]]) -> str:
    """The file that holds these tests: entries by name, by test. Equal content, equal bytes."""
    branches = _Branch(
        {
            name: _Branch({entry: _entry(stored) for entry, stored in entries.items()})
            for name, entries in tests.items()
        }
    )
    return _lines(_Branch({"format": FORMAT, "tests": branches}), 0) + "\n"


def parse(content: str, file: str, command: str = "pytest --initcheck-update") -> Tests:
    """The tests in the text of a baseline file.

    ``file`` is what an error calls the file, ``command`` what it says regenerates it.

    Raises:
        BaselineError: the text is not a valid baseline of this format; the message names file and
            line, what is wrong there, and what to do.
    """
    data = text.load(content, file)
    try:
        _check_format(data, command)
        return {
            name: {key: read.stored(entry, ("tests", name, key)) for key, entry in entries.items()}
            for name, entries in read.tests(data).items()
        }
    except text.Fault as fault:
        line = json_lines.line_of(content, fault.path)
        raise text.error_at(file, line, str(fault)) from None


def _check_format(data: Any, command: str) -> None:
    if not isinstance(data, dict) or "format" not in data:
        raise text.Fault((), 'not a baseline: there is no field "format"')
    found = data["format"]
    if type(found) is not int or found != FORMAT:
        raise text.Fault(
            ("format",),
            f"has format {json.dumps(found)[:40]}, this version of pytest-initcheck reads format"
            f" {FORMAT}; regenerate it with: {command}",
        )


def _lines(value: Any, depth: int) -> str:
    if not isinstance(value, _Branch) or not value:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    indent = " " * (depth + 1)
    members = (
        f"{indent}{json.dumps(key, ensure_ascii=False)}: {_lines(value[key], depth + 1)}"
        for key in sorted(value)
    )
    return "{\n" + ",\n".join(members) + "\n" + " " * depth + "}"


def _entry(stored: Stored) -> _Branch:
    record = stored.record
    models = {"before": record.before, "after": record.after}
    return _Branch(
        {
            "provenance": stored.provenance,
            "seeds": list(record.seeds),
            "meta": dict(record.meta),
            "metrics": _Branch({k: list(map(_number, v)) for k, v in record.metrics.items()}),
            "curves": _Branch({k: _band(band) for k, band in stored.bands.items()}),
            **{moment: _model(model) for moment, model in models.items() if model is not None},
        }
    )


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _band(band: Band) -> dict[str, Any]:
    data: dict[str, Any] = {"length": band.length, "seeds": band.seeds, "mean": list(band.mean)}
    if any(band.sd):
        data["sd"] = list(band.sd)
    if any(band.nonfinite):
        data["nonfinite"] = list(band.nonfinite)
    return data


def _model(model: ModelRecord) -> _Branch:
    head: dict[str, Any] = {"moment": model.moment}
    if model.loss is not None:
        head["loss"] = _number(model.loss)
    if model.meta:
        head["meta"] = dict(model.meta)
    if model.not_observed:
        head["not_observed"] = list(model.not_observed)
    tensors = {"inputs": model.inputs, "outputs": model.outputs, "targets": model.targets}
    layers = _Branch(line for layer in model.layers for line in _layer(layer).items())
    return _Branch({"model": head, **_tensors(tensors), "layers": layers})


def _tensors(tensors: Mapping[str, TensorStats | None]) -> dict[str, Any]:
    return {key: _tensor(stats) for key, stats in tensors.items() if stats is not None}


def _layer(layer: LayerRecord) -> dict[str, Any]:
    head: dict[str, Any] = {"kind": layer.kind}
    if layer.nonlinearity is not None:
        head["nonlinearity"] = layer.nonlinearity
    if layer.units is not None:
        head["units"] = layer.units.count
        head["dead_share"] = layer.units.dead_share
        head["saturated_share"] = layer.units.saturated_share
    if layer.update_ratio:
        head["update_ratio"] = {k: _number(v) for k, v in layer.update_ratio.items()}
    name = layer.name
    tensors = {
        keys.join(name, "activations"): layer.activations,
        keys.join(name, "activation_gradients"): layer.activation_gradients,
        **{keys.join(name, "weights", key): stats for key, stats in layer.weights.items()},
        **{keys.join(name, "gradients", key): stats for key, stats in layer.gradients.items()},
    }
    return {keys.join(name, "layer"): head, **_tensors(tensors)}


def _tensor(stats: TensorStats) -> dict[str, Any]:
    data: dict[str, Any] = {
        "n": stats.n,
        "mean": stats.mean,
        "std": stats.std,
        "min": stats.min,
        "max": stats.max,
        "zero_share": stats.zero_share,
        "nonfinite": stats.nonfinite,
        "dtype": stats.dtype,
        "shape": list(stats.shape),
    }
    histogram = stats.histogram
    if histogram is not None:
        data["histogram"] = {
            "low": histogram.low,
            "high": histogram.high,
            "sampled": sum(histogram.counts),
            "counts": list(histogram.counts),
        }
    return data


def same_values(a: Stored, b: Stored) -> bool:
    """Whether two entries would be written alike, provenance aside."""
    mine, theirs = ({**_entry(stored), "provenance": None} for stored in (a, b))
    return json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
