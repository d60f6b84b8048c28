"""Sessions for the report's tests, shaped like real ones."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import replace

from support_records import escape_record, layer, mlp, resnet, runs, tensor

from pytest_initcheck.records import (
    Comparison,
    Difference,
    Entry,
    Finding,
    ModelRecord,
    Picture,
    RunRecord,
    SessionRecord,
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
