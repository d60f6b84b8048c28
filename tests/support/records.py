"""Records for the report's tests: tensors, layers, models and runs from a seeded generator."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from pytest_initcheck.records import (
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
    UnitStats,
)


def tensor(
    rng: random.Random,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    n: int = 2000,
    count: int | None = None,
    shape: tuple[int, ...] = (),
    squash: bool = False,
    rectify: bool = False,
    bins: int = 32,
) -> TensorStats:
    """The summary of normal values, squashed by a sigmoid or rectified where asked."""
    values = [rng.gauss(mean, std) for _ in range(n)]
    if squash:
        values = [1 / (1 + math.exp(-max(min(v, 700), -700))) for v in values]
    if rectify:
        values = [max(v, 0.0) for v in values]
    factor = (count or n) / n
    low, high = min(values), max(values)
    counts = [0] * bins
    for value in values:
        place = (value - low) / (high - low) * bins if high > low else 0
        counts[min(int(place), bins - 1)] += 1
    middle = sum(values) / n
    return TensorStats(
        n=count or n,
        mean=middle,
        std=math.sqrt(sum((v - middle) ** 2 for v in values) / n),
        min=low,
        max=high,
        zero_share=sum(v == 0 for v in values) / n,
        histogram=Histogram(low, high, tuple(int(c * factor) for c in counts)),
        dtype="float32",
        shape=shape,
    )


def layer(
    rng: random.Random,
    name: str,
    kind: str = "Linear",
    nonlinearity: str | None = "relu",
    *,
    weight: float = 0.06,
    signal: float = 1.0,
    gradient: float = 1e-3,
    update: float | None = None,
    units: UnitStats | None = None,
    size: int = 600,
) -> LayerRecord:
    """One layer with a weight, a bias, an activation and gradients."""
    squash = nonlinearity == "sigmoid"
    return LayerRecord(
        name=name,
        kind=kind,
        nonlinearity=nonlinearity,
        weights={
            "weight": tensor(rng, 0, weight, n=size, count=65536, shape=(256, 256)),
            "bias": tensor(rng, 0, weight / 4, n=64, shape=(256,)),
        },
        gradients={
            "weight": tensor(rng, 0, gradient, n=size, count=65536, shape=(256, 256)),
            "bias": tensor(rng, 0, gradient, n=64, shape=(256,)),
        },
        activations=tensor(
            rng, 0, signal, n=size, count=16384, squash=squash, rectify=nonlinearity == "relu"
        ),
        units=units or UnitStats(count=256),
        update_ratio={} if update is None else {"weight": update, "bias": update / 3},
    )


def mlp(rng: random.Random, moment: str = "start", depth: int = 4, **changes: float) -> ModelRecord:
    """A plain network whose gradient shrinks with depth by ``decay`` a layer."""
    decay, signal = changes.get("decay", 0.8), changes.get("signal", 1.0)
    after = moment != "start"
    layers = tuple(
        layer(
            rng,
            f"layers.{i}",
            signal=signal * decay**i * (1.2 if after else 1),
            weight=0.06 * (1.1 if after else 1),
            gradient=2e-3 * decay ** (depth - i),
            update=0.004 if after else None,
        )
        for i in range(depth)
    )
    return ModelRecord(
        layers=layers,
        loss=1.84 if after else 2.31,
        inputs=tensor(rng, 0.13, 0.31, shape=(64, 784)),
        outputs=tensor(rng, 0, 0.4, shape=(64, 10)),
        moment=moment,
        meta={"loss": "cross-entropy", "optimizer": "SGD(lr=0.01)"},
    )


def resnet(rng: random.Random, moment: str = "start", blocks: int = 8) -> ModelRecord:
    """A convolutional network: a stem, blocks of two convolutions, a head."""
    after = moment != "start"
    names = [
        "conv1",
        *(f"layer{i // 2 + 1}.{i % 2}.conv{j}" for i in range(blocks) for j in (1, 2)),
    ]
    layers = [
        layer(
            rng,
            n,
            "Conv2d",
            "relu",
            weight=0.05 / (1 + i / 8),
            signal=1 + 0.1 * i,
            gradient=4e-4 * (1 + i / 5),
        )
        for i, n in enumerate(names)
    ]
    layers.append(layer(rng, "fc", nonlinearity=None, weight=0.04, gradient=8e-3))
    if after:
        layers = [
            replace(item, update_ratio={"weight": 0.002 * (1 + i / 9)})
            for i, item in enumerate(layers)
        ]
    return ModelRecord(layers=tuple(layers), loss=2.12 if after else 2.36, moment=moment)


def runs(rng: random.Random, final: float, seeds: int = 8, epochs: int = 30) -> RunRecord:
    """Trainings over seeds: losses that fall, accuracies that rise to about ``final``."""
    losses, scores = [], []
    for _ in range(seeds):
        speed, noise = rng.uniform(0.1, 0.2), rng.uniform(0.01, 0.03)
        losses.append(
            tuple(2.3 * math.exp(-speed * e) + 0.1 + rng.gauss(0, noise) for e in range(epochs))
        )
        scores.append(
            tuple(
                final * (1 - 0.9 * math.exp(-speed * (e + 1))) + rng.gauss(0, noise / 2)
                for e in range(epochs)
            )
        )
    return RunRecord(
        seeds=tuple(range(seeds)),
        curves={"loss": tuple(losses), "accuracy": tuple(scores)},
        metrics={
            "accuracy": tuple(s[-1] for s in scores),
            "final loss": tuple(c[-1] for c in losses),
        },
        before=mlp(rng, "start", 3),
        after=mlp(rng, "after 30 epochs", 3),
        meta={"optimizer": "Adam(lr=0.001)", "epochs": str(epochs), "batch size": "32"},
    )


def escape_record(rng: random.Random, seeds: int = 16, steps: int = 100) -> RunRecord:
    """Trajectories of one parameter on the quartic objective, with gradient noise."""
    curves = []
    for _ in range(seeds):
        w, v, points = 6.0, 0.0, []
        for _ in range(steps + 1):
            points.append(w)
            gradient = 8 * w**3 - 27 * w**2 - 42 * w + 88 + rng.gauss(0, 150)
            v = 0.8 * v + gradient
            w = max(min(w - 0.001 * v, 8.0), -4.0)
        curves.append(tuple(points))
    return RunRecord(
        seeds=tuple(range(seeds)),
        curves={"w0": tuple(curves)},
        metrics={"final w0": tuple(c[-1] for c in curves)},
        meta={"ends": "minimum 9, still moving 7", "noise": "150 on the gradient"},
    )
