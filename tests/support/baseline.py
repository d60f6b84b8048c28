"""Records for the baselines' tests: from plain values, or from a small network in numpy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st

from pytest_initcheck.records import (
    Entry,
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
    TestRecord,
    UnitStats,
)

PROVENANCE = {"torch": "2.14.1", "python": "3.11.7", "device": "cpu", "platform": "Linux-6.1"}
Init = Callable[[np.random.Generator, int, int], np.ndarray]


def histogram(values: Sequence[float] | np.ndarray, bins: int = 32) -> Histogram:
    finite = np.asarray(values, dtype=float).reshape(-1)
    finite = finite[np.isfinite(finite)]
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(all="ignore"):
        place = np.nan_to_num((finite - low) / (high - low) * bins, nan=0, posinf=0, neginf=0)
    counts = np.bincount(np.clip(place.astype(int), 0, bins - 1), minlength=bins)
    return Histogram(low, high, tuple(int(c) for c in counts))


def stats(
    values: Sequence[float] | np.ndarray,
    shape: tuple[int, ...] | None = None,
    dtype: str = "float32",
) -> TensorStats:
    array = np.asarray(values, dtype=float)
    shape = array.shape if shape is None else shape
    flat = array.reshape(-1)
    finite = flat[np.isfinite(flat)]
    odd = int(flat.size - finite.size)
    zeros = float((flat == 0).mean()) if flat.size else 0.0
    if not finite.size:
        return TensorStats(
            n=flat.size,
            mean=None,
            std=None,
            min=None,
            max=None,
            zero_share=zeros,
            nonfinite=odd,
            histogram=None,
            dtype=dtype,
            shape=shape,
        )
    return TensorStats(
        n=int(flat.size),
        mean=float(np.clip(finite.mean(), finite.min(), finite.max())),
        std=float(finite.std()),
        min=float(finite.min()),
        max=float(finite.max()),
        zero_share=zeros,
        nonfinite=odd,
        histogram=histogram(finite),
        dtype=dtype,
        shape=shape,
    )


def xavier(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    bound = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, (fan_out, fan_in))


def kaiming(rng: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    return rng.normal(0, math.sqrt(2 / fan_in), (fan_out, fan_in))


def network(
    seed: int,
    widths: Sequence[int] = (32, 64, 64, 10),
    *,
    init: Init = xavier,
    batch: int = 64,
    gain: float = 1.0,
    bias: float = 0.1,
    steps: bool = True,
) -> RunRecord:
    """A diagnosis of a ReLU network with fresh weights, on fresh data."""
    rng = np.random.default_rng(seed)
    weights = [init(rng, a, b) * gain for a, b in itertools.pairwise(widths)]
    biases = [rng.uniform(-1, 1, b) * bias for b in widths[1:]]
    signals = [rng.normal(size=(batch, widths[0]))]
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        out = signals[-1] @ w.T + b
        signals.append(np.maximum(out, 0) if i < len(weights) - 1 else out)
    labels = rng.integers(0, widths[-1], batch)
    shares = np.exp(signals[-1] - signals[-1].max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    loss = float(-np.log(shares[np.arange(batch), labels]).mean())
    delta = shares.copy()
    delta[np.arange(batch), labels] -= 1
    delta /= batch
    layers: list[LayerRecord] = []
    for i in reversed(range(len(weights))):
        last = i == len(weights) - 1
        layers.append(
            LayerRecord(
                name=f"layers.{i}",
                kind="Linear",
                nonlinearity=None if last else "relu",
                weights={"weight": stats(weights[i]), "bias": stats(biases[i])},
                gradients={"weight": stats(delta.T @ signals[i]), "bias": stats(delta.sum(0))},
                activations=stats(signals[i + 1]),
                activation_gradients=stats(delta),
                units=UnitStats(
                    count=widths[i + 1], dead_share=float((signals[i + 1] <= 0).all(0).mean())
                ),
            )
        )
        delta = delta @ weights[i] * (signals[i] > 0)
    model = ModelRecord(
        layers=tuple(reversed(layers)),
        loss=loss,
        inputs=stats(signals[0]),
        outputs=stats(signals[-1]),
        targets=stats(labels, dtype="int64"),
    )
    curves = {"loss": (tuple(loss * 0.99**k for k in range(6)),)} if steps else {}
    return RunRecord(curves=curves, before=model, meta={"device": "cpu", "lr": "0.01"})


def recorded(
    record: RunRecord, nodeid: str = "suites/test_a.py::test_x", name: str = "run", **more: object
) -> TestRecord:
    return TestRecord(nodeid=nodeid, entries=(Entry(name=name, kind="run", record=record),), **more)  # type: ignore[arg-type]


_floats = st.floats(width=32)
_names = st.text(max_size=8)
_units = st.builds(
    UnitStats,
    count=st.integers(0, 99),
    dead_share=st.floats(0, 1),
    saturated_share=st.floats(0, 1),
)
_values = st.lists(_floats, min_size=1, max_size=40)
_tensors = _values.map(stats)
_layers = st.builds(
    LayerRecord,
    name=_names,
    kind=_names,
    nonlinearity=st.none() | _names,
    weights=st.dictionaries(_names, _tensors, max_size=2),
    gradients=st.dictionaries(_names, _tensors, max_size=2),
    activations=st.none() | _tensors,
    activation_gradients=st.none() | _tensors,
    units=st.none() | _units,
    update_ratio=st.dictionaries(_names, _floats, max_size=2),
)
_models = st.builds(
    ModelRecord,
    layers=st.lists(_layers, max_size=3, unique_by=lambda layer: layer.name).map(tuple),
    loss=st.none() | _floats,
    inputs=st.none() | _tensors,
    outputs=st.none() | _tensors,
    targets=st.none() | _tensors,
    moment=_names,
    meta=st.dictionaries(_names, _names, max_size=2),
    not_observed=st.lists(_names, max_size=2).map(tuple),
)
_curve = st.lists(_floats, max_size=100).map(tuple)
records = st.builds(
    RunRecord,
    seeds=st.lists(st.integers(-(2**40), 2**40), max_size=3).map(tuple),
    curves=st.dictionaries(_names, st.lists(_curve, max_size=3).map(tuple), max_size=2),
    metrics=st.dictionaries(_names, st.lists(_floats, max_size=3).map(tuple), max_size=2),
    before=st.none() | _models,
    after=st.none() | _models,
    meta=st.dictionaries(_names, _names, max_size=2),
)
