"""Sessions for the report's tests: built from a seeded generator, shaped like real ones."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import replace

from pytest_initcheck.records import (
    Comparison,
    Difference,
    Entry,
    Finding,
    Histogram,
    LayerRecord,
    ModelRecord,
    Picture,
    RunRecord,
    SessionRecord,
    TensorStats,
    TestRecord,
    UnitStats,
)

HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>'\"&\x1b[31m\x00</noscript>"
)
HOSTILE_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="parent.hacked=3">'
    '<script>parent.hacked=4;window.hacked=4</script><rect width="40" height="40"/></svg>'
)
MESSAGE = """fail: layer 'layers.0': gradient of the first layer over that of the last 3.1e-05, \
allowed at least 0.001
  error IC301 saturated units: layer 'layers.3', units 0, 1, 2: share of saturated units 0.97
remedy: use He initialisation for relu, or normalise between the layers
report: initcheck.html"""
PROVENANCE = {
    "pytest-initcheck": "0.1.0",
    "torch": "2.14.1",
    "python": "3.11.2",
    "platform": "Linux-x86_64",
    "device": "cpu",
}


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
        units=units or UnitStats(256),
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
    return ModelRecord(tuple(layers), loss=2.12 if after else 2.36, moment=moment)


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


def drawing(rng: random.Random) -> Picture:
    """A small picture such as a suite draws."""
    points = " ".join(
        f"{20 + i * 4},{120 - 90 * math.exp(-((i - 40) ** 2) / 400):.1f}" for i in range(90)
    )
    dots = "".join(
        f'<circle cx="{rng.uniform(30, 370):.0f}" cy="{rng.uniform(30, 120):.0f}" r="3"/>'
        for _ in range(12)
    )
    return Picture(
        "trajectory on the objective",
        "image/svg+xml",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 150" width="400" height="150">'
        f'<polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/>{dots}</svg>',
    )


def saturation(layer_name: str = "layers.0", *others: str) -> Finding:
    """A finding as the saturation check words it."""
    return Finding(
        id="IC301",
        check="saturated units",
        severity="error",
        layer=layer_name,
        quantity="share of saturated units",
        measured=0.97,
        limit=0.5,
        cause="the weights are so large that sigmoid works on its flat ends",
        remedy="draw the weights from N(0, 1/fan_in), here a standard deviation of 0.036",
        reference="Glorot and Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html",
        units=tuple(range(29)),
        layers=(layer_name, *others),
    )


def vanishing() -> Finding:
    """A finding as the gradient check words it."""
    return Finding(
        id="IC401",
        check="vanishing gradients",
        severity="warning",
        layer="layers.0",
        quantity="gradient of the first layer over that of the last",
        measured=3.1e-5,
        limit=1e-3,
        cause="the gradient shrinks by a factor of 0.8 in each layer",
        remedy="use He initialisation for relu, or normalise between the layers",
        reference="https://arxiv.org/abs/1502.01852",
        layers=("layers.0", "layers.1"),
    )


def changed(expected: RunRecord) -> Comparison:
    """A comparison with differences, as the baseline words them."""
    return Comparison(
        "changed",
        (
            Difference("after/layers.0/weight/std", "0.0661", "0.0512", "± 0.0014", 10.6),
            Difference("curves/accuracy/epoch 30", "0.612", "0.703", "± 0.031", 2.94),
            Difference("before/layers.2/activations/mean", "0.401", "0.362", "± 0.03", 1.3),
        ),
        compared=214,
        notes=("the baseline was made on device cpu with torch 2.13.0",),
        file="baselines/suites/test_sigma.json",
        expected=expected,
    )


@functools.cache
def session() -> SessionRecord:
    """A session with every kind of entry, outcome, verdict and comparison."""
    rng = random.Random(7)
    healthy = RunRecord(
        seeds=(0,),
        curves={"loss": ((2.36, 2.3, 2.24, 2.2, 2.15, 2.12),)},
        before=resnet(rng),
        after=resnet(rng, "after 5 steps"),
    )
    weak = RunRecord(
        curves={"loss": ((2.31, 2.31, 2.3, 2.3),)},
        before=mlp(rng, depth=9, decay=0.45),
        after=mlp(rng, "after 5 steps", 9, decay=0.45),
    )
    bad = replace(
        runs(rng, 0.4), before=_saturated(rng, "start"), after=_saturated(rng, "after 30 epochs")
    )
    good = runs(rng, 0.7)
    match = Comparison(
        "match", compared=180, file="baselines/suites/test_initialisation.json", expected=healthy
    )
    tests = (
        TestRecord(
            "suites/test_initialisation.py::test_resnet_starts_well",
            duration=3.21,
            entries=(Entry("diagnosis", "diagnosis", healthy, "pass", comparison=match),),
        ),
        TestRecord(
            "suites/test_initialisation.py::test_deep_variant",
            "failed",
            1.43,
            MESSAGE,
            (
                Entry(
                    "diagnosis",
                    "diagnosis",
                    weak,
                    "fail",
                    (vanishing(), saturation("layers.3", "layers.4")),
                    Comparison("missing", file="baselines/suites/test_initialisation.json"),
                ),
            ),
        ),
        TestRecord(
            "suites/test_sigma.py::test_sigma[0.1]",
            duration=14.8,
            entries=(Entry("sigma=0.1", "run", good, "pass", comparison=changed(runs(rng, 0.72))),),
        ),
        TestRecord(
            "suites/test_sigma.py::test_bad_sigmas_are_found",
            duration=21.7,
            entries=(
                Entry(
                    "sigma=10",
                    "sweep",
                    bad,
                    "fail",
                    (saturation("hidden"),),
                    Comparison("match", compared=90, expected=bad),
                ),
                Entry(
                    "sigma=1",
                    "sweep",
                    runs(rng, 0.63),
                    "warn",
                    (replace(saturation("hidden"), severity="warning", measured=0.73),),
                    Comparison("match", compared=90),
                ),
                Entry(
                    "sigma=0.1",
                    "sweep",
                    runs(rng, 0.71),
                    "pass",
                    (),
                    Comparison("match", compared=90),
                ),
            ),
        ),
        TestRecord(
            "suites/test_momentum.py::test_noise_escapes",
            duration=0.82,
            entries=(
                Entry("escape", "escape", escape_record(rng), None, comparison=Comparison("new")),
            ),
            pictures=(drawing(rng), drawing(rng)),
        ),
        TestRecord(
            "suites/test_symmetry.py::test_printed_parameters",
            duration=0.31,
            entries=(
                Entry(
                    "final",
                    "metrics",
                    RunRecord(metrics={"linear1.weight": (1.934, 1.934), "cost": (15.0211,)}),
                    "pass",
                    comparison=Comparison("match", compared=3),
                ),
            ),
        ),
        TestRecord(
            "suites/test_rbm_dbn.py::test_worker_died",
            "crashed",
            0.0,
            "worker 'gw1' crashed while running this test",
        ),
    )
    return SessionRecord(1, PROVENANCE, tests, ("worker gw1 crashed: its test has no records",))


def _saturated(rng: random.Random, moment: str) -> ModelRecord:
    units = UnitStats(20, 0.0, 0.97, (), tuple(range(19)))
    return ModelRecord(
        (
            layer(
                rng,
                "hidden",
                nonlinearity="sigmoid",
                weight=10,
                signal=30,
                gradient=1e-5,
                units=units,
                update=None if moment == "start" else 0.017,
            ),
            layer(rng, "middle", nonlinearity="sigmoid", weight=0.3, signal=1.2, gradient=1e-3),
            layer(rng, "head", nonlinearity=None, weight=0.3, signal=0.8, gradient=1e-2),
        ),
        loss=2.4,
        moment=moment,
    )


@functools.cache
def hostile() -> SessionRecord:
    """Every string of the record tries to break out of the page."""
    rng = random.Random(3)
    bad = HOSTILE
    model = ModelRecord(
        (replace(layer(rng, bad, bad, bad), weights={bad: tensor(rng), "bias": tensor(rng)}),) * 1,
        1.0,
        moment=bad,
        meta={bad: bad},
        not_observed=(bad,),
    )
    deep = replace(
        model, layers=tuple(replace(model.layers[0], name=f"{bad}{i}") for i in range(4))
    )
    record = RunRecord(
        (1, 2), {bad: ((1.0, 2.0), (2.0, 3.0))}, {bad: (1.0, 2.0)}, deep, deep, {bad: bad}
    )
    finding = Finding(
        bad,
        bad,
        "error",
        bad,
        bad,
        1.0,
        2.0,
        bad,
        bad,
        "javascript:window.hacked=5",
        (1,),
        (bad, bad + "x"),
    )
    comparison = Comparison(
        "changed", (Difference(bad, bad, bad, bad, 2.0),), 1, (bad,), bad, record
    )
    entries = (
        Entry(bad, bad, record, "fail", (finding,), comparison),
        Entry(bad + "2", bad, record),
    )
    pictures = (Picture(bad, "image/svg+xml", HOSTILE_SVG), Picture(bad, "image/png", f'"{bad}'))
    return SessionRecord(
        1, {bad: bad}, (TestRecord(f"{bad}::{bad}", bad, 1.0, bad, entries, pictures),), (bad,)
    )


@functools.cache
def many_layers(layers: int = 100, seed: int = 5) -> SessionRecord:
    """One diagnosis of a deep network, before and after."""
    rng = random.Random(seed)
    before = ModelRecord(tuple(layer(rng, f"block.{i}.linear", size=400) for i in range(layers)))
    after = ModelRecord(
        tuple(
            layer(rng, f"block.{i}.linear", size=400, weight=0.07, update=0.01)
            for i in range(layers)
        ),
        moment="after 5 steps",
    )
    record = RunRecord(before=before, after=after)
    return SessionRecord(
        1,
        PROVENANCE,
        (
            TestRecord(
                "test_deep.py::test_deep",
                entries=(Entry("diagnosis", "diagnosis", record, "pass"),),
            ),
        ),
    )
