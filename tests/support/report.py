"""Sessions for the report's tests, shaped like real ones."""

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
    ModelRecord,
    Picture,
    RunRecord,
    SessionRecord,
    TestRecord,
    UnitStats,
)
from support.records import escape_record, layer, mlp, resnet, runs, tensor

HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>'\"&\x1b[31m\x00</noscript>"
    "\u202e\u2066</script>"
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
        status="changed",
        differences=(
            Difference(
                key="after/layers.0/weight/std",
                actual="0.0661",
                expected="0.0512",
                allowed="± 0.0014",
                excess=10.6,
            ),
            Difference(
                key="curves/accuracy/epoch 30",
                actual="0.612",
                expected="0.703",
                allowed="± 0.031",
                excess=2.94,
            ),
            Difference(
                key="before/layers.2/activations/mean",
                actual="0.401",
                expected="0.362",
                allowed="± 0.03",
                excess=1.3,
            ),
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
        status="match",
        compared=180,
        file="baselines/suites/test_initialisation.json",
        expected=healthy,
    )
    tests = (
        TestRecord(
            nodeid="suites/test_initialisation.py::test_resnet_starts_well",
            duration=3.21,
            entries=(
                Entry(
                    name="diagnosis",
                    kind="diagnosis",
                    record=healthy,
                    verdict="pass",
                    comparison=match,
                ),
            ),
        ),
        TestRecord(
            nodeid="suites/test_initialisation.py::test_deep_variant",
            outcome="failed",
            duration=1.43,
            message=MESSAGE,
            entries=(
                Entry(
                    name="diagnosis",
                    kind="diagnosis",
                    record=weak,
                    verdict="fail",
                    findings=(vanishing(), saturation("layers.3", "layers.4")),
                    comparison=Comparison(
                        status="missing", file="baselines/suites/test_initialisation.json"
                    ),
                ),
            ),
        ),
        TestRecord(
            nodeid="suites/test_sigma.py::test_sigma[0.1]",
            duration=14.8,
            entries=(
                Entry(
                    name="sigma=0.1",
                    kind="run",
                    record=good,
                    verdict="pass",
                    comparison=changed(runs(rng, 0.72)),
                ),
            ),
        ),
        TestRecord(
            nodeid="suites/test_sigma.py::test_bad_sigmas_are_found",
            duration=21.7,
            entries=(
                Entry(
                    name="sigma=10",
                    kind="sweep",
                    record=bad,
                    verdict="fail",
                    findings=(saturation("hidden"),),
                    comparison=Comparison(status="match", compared=90, expected=bad),
                ),
                Entry(
                    name="sigma=1",
                    kind="sweep",
                    record=runs(rng, 0.63),
                    verdict="warn",
                    findings=(replace(saturation("hidden"), severity="warning", measured=0.73),),
                    comparison=Comparison(status="match", compared=90),
                ),
                Entry(
                    name="sigma=0.1",
                    kind="sweep",
                    record=runs(rng, 0.71),
                    verdict="pass",
                    findings=(),
                    comparison=Comparison(status="match", compared=90),
                ),
            ),
        ),
        TestRecord(
            nodeid="suites/test_momentum.py::test_noise_escapes",
            duration=0.82,
            entries=(
                Entry(
                    name="escape",
                    kind="escape",
                    record=escape_record(rng),
                    verdict=None,
                    comparison=Comparison(status="new"),
                ),
            ),
            pictures=(drawing(rng), drawing(rng)),
        ),
        TestRecord(
            nodeid="suites/test_symmetry.py::test_printed_parameters",
            duration=0.31,
            entries=(
                Entry(
                    name="final",
                    kind="metrics",
                    record=RunRecord(
                        metrics={"linear1.weight": (1.934, 1.934), "cost": (15.0211,)}
                    ),
                    verdict="pass",
                    comparison=Comparison(status="match", compared=3),
                ),
            ),
        ),
        TestRecord(
            nodeid="suites/test_rbm_dbn.py::test_worker_died",
            outcome="crashed",
            duration=0.0,
            message="worker 'gw1' crashed while running this test",
        ),
    )
    return SessionRecord(1, PROVENANCE, tests, ("worker gw1 crashed: its test has no records",))


def _saturated(rng: random.Random, moment: str) -> ModelRecord:
    units = UnitStats(
        count=20, dead_share=0.0, saturated_share=0.97, dead=(), saturated=tuple(range(19))
    )
    return ModelRecord(
        layers=(
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
        layers=(
            replace(layer(rng, bad, bad, bad), weights={bad: tensor(rng), "bias": tensor(rng)}),
        )
        * 1,
        loss=1.0,
        moment=bad,
        meta={bad: bad},
        not_observed=(bad,),
    )
    deep = replace(
        model, layers=tuple(replace(model.layers[0], name=f"{bad}{i}") for i in range(4))
    )
    record = RunRecord(
        seeds=(1, 2),
        curves={bad: ((1.0, 2.0), (2.0, 3.0))},
        metrics={bad: (1.0, 2.0)},
        before=deep,
        after=deep,
        meta={bad: bad},
    )
    finding = Finding(
        id=bad,
        check=bad,
        severity="error",
        layer=bad,
        quantity=bad,
        measured=1.0,
        limit=2.0,
        cause=bad,
        remedy=bad,
        reference="javascript:window.hacked=5",
        units=(1,),
        layers=(bad, bad + "x"),
    )
    comparison = Comparison(
        status="changed",
        differences=(Difference(key=bad, actual=bad, expected=bad, allowed=bad, excess=2.0),),
        compared=1,
        notes=(bad,),
        file=bad,
        expected=record,
    )
    entries = (
        Entry(
            name=bad,
            kind=bad,
            record=record,
            verdict="fail",
            findings=(finding,),
            comparison=comparison,
        ),
        Entry(name=bad + "2", kind=bad, record=record),
    )
    pictures = (Picture(bad, "image/svg+xml", HOSTILE_SVG), Picture(bad, "image/png", f'"{bad}'))
    return SessionRecord(
        1,
        {bad: bad},
        (
            TestRecord(
                nodeid=f"{bad}::{bad}",
                outcome=bad,
                duration=1.0,
                message=bad,
                entries=entries,
                pictures=pictures,
            ),
        ),
        (bad,),
    )


@functools.cache
def many_layers(layers: int = 100, seed: int = 5) -> SessionRecord:
    """One diagnosis of a deep network, before and after."""
    rng = random.Random(seed)
    before = ModelRecord(
        layers=tuple(layer(rng, f"block.{i}.linear", size=400) for i in range(layers))
    )
    after = ModelRecord(
        layers=tuple(
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
                nodeid="test_deep.py::test_deep",
                entries=(Entry(name="diagnosis", kind="diagnosis", record=record, verdict="pass"),),
            ),
        ),
    )


def many_tests(count: int = 2000, seed: int = 0) -> SessionRecord:
    """Diagnoses of small models, each other than the next; every tenth fails."""
    rng = random.Random(seed)
    models = [(mlp(rng, depth=4), mlp(rng, "after 5 steps", 4)) for _ in range(min(count, 40))]
    tests = tuple(_one_of_many(i, *models[i % len(models)]) for i in range(count))
    return SessionRecord(1, PROVENANCE, tests)


def _one_of_many(i: int, before: ModelRecord, after: ModelRecord) -> TestRecord:
    is_bad = i % 10 == 0
    entry = Entry(
        name="diagnosis",
        kind="diagnosis",
        record=RunRecord(curves={"loss": ((2.3, 2.2, 2.1, 2.0),)}, before=before, after=after),
        verdict="fail" if is_bad else "pass",
        findings=(saturation("layers.3", "layers.2"),) if is_bad else (),
    )
    nodeid = f"tests/test_models_{i // 50}.py::test_model[{i}]"
    outcome = "failed" if is_bad else "passed"
    return TestRecord(nodeid=nodeid, outcome=outcome, duration=0.2, entries=(entry,))
