"""Units that start alike and that training cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.alike import groups_of
from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.code import redraw
from pytest_initcheck.checks.paths import read_layers
from pytest_initcheck.checks.traits import depth_of, finite_looks
from pytest_initcheck.evidence import Array, Evidence, Parameter
from pytest_initcheck.records import Finding

# Rounding in another order of summation separates equal units by a few units in the last place,
# and the steps add up; anything that training separates differs by a visible part of the move.
_ROUNDING = {"float64": 1e-9, "float32": 1e-5, "bfloat16": 0.2, "float16": 0.05}
# Among many units some differ by little: chance has distances of all sizes, a lock none but zero.
_WINDOW = 30.0


@dataclass(frozen=True)
class _Locked:
    parameter: Parameter
    groups: list[Array]
    apart: float


class Symmetry:
    """Follows units whose incoming weights are equal through real steps.

    Equal weights alone are no fault: where their gradients differ the first step separates them.
    Units are locked when they get a gradient, and all get the same.
    """

    name = "symmetry"
    rules: tuple[Rule, ...] = (
        Rule(
            "IC201",
            "units that stay equal",
            "units start with equal weights and get equal gradients, so that no step can ever "
            "separate them: together they compute what one unit could",
            "distance between the gradients of two units, relative to the gradient, above rounding",
            "Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            frozenset({"IC101", "IC104", "IC501", "IC502", "IC503"}),
            quantity="distance between the gradients of units that start equal, relative to the "
            "gradient, over all steps",
            exempt="equal units that get different gradients (one constant layer, a constant "
            "output layer) or none; the output layer; frozen parameters and vectors",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        locked = [found for found in self._followed(evidence) if found.groups]
        if not locked:
            return
        depth = depth_of(evidence)
        locked.sort(key=lambda found: depth(found.parameter.layer))
        first = locked[0]
        units = np.sort(np.concatenate(first.groups))
        yield self.rules[0].found(
            self.name,
            "error",
            tuple(dict.fromkeys(found.parameter.layer for found in locked)),
            "relative distance between the gradients of equal units",
            first.apart,
            _tolerance(evidence, first.parameter),
            remedy="draw the weights at random, such as torch.nn.init.xavier_uniform_(weight)",
            units=tuple(int(unit) for unit in units),
            code=redraw(evidence, {found.parameter.layer for found in locked}),
        )

    def _followed(self, evidence: Evidence) -> Iterator[_Locked]:
        looks = finite_looks(evidence)
        if len(looks) < 2:
            return
        read = read_layers(evidence)
        for name, parameter in evidence.parameters.items():
            # Output units that the loss treats alike, such as absent classes, are no fault.
            if parameter.layer not in read:
                continue
            start = looks[0].parameters[name].projections
            pulls = [look.parameters[name].pulls for look in looks[1:]]
            known = [pull[:, :-1] for pull in pulls if pull is not None]
            if not parameter.trainable or parameter.axis is None or start is None or not known:
                continue
            tolerance = _tolerance(evidence, parameter)
            groups, apart = [], 0.0
            for group in groups_of(start):
                together = np.concatenate([pull[group] for pull in known], axis=1)
                for members, distance in _still_alike(together, tolerance):
                    groups.append(group[members])
                    apart = max(apart, distance)
            yield _Locked(parameter, groups, apart)


def _tolerance(evidence: Evidence, parameter: Parameter) -> float:
    stats = evidence.start.parameters[parameter.name].stats
    return _ROUNDING.get(stats.dtype if stats else "float32", 1e-3)


def _still_alike(pulls: Array, tolerance: float) -> Iterator[tuple[Array, float]]:
    """Members of a group of equal rows whose gradients agree in all looks, with their distance.

    Each pair is held against its own gradient: rows behind a gate that opens slowly get little.
    """
    sizes = np.sqrt(np.square(pulls).mean(1))
    if not np.isfinite(sizes).all():
        return
    order = np.lexsort(pulls.T[::-1])
    gaps = _distance(pulls[order][1:], pulls[order][:-1], sizes[order][1:], sizes[order][:-1])
    close = int((gaps <= tolerance).sum())
    if close <= int(((gaps > tolerance) & (gaps <= _WINDOW * tolerance)).sum()):
        return
    for members in np.split(order, np.flatnonzero(gaps > tolerance) + 1):
        if len(members) > 1 and sizes[members].min() > 0:
            first = members[:1]
            apart = _distance(pulls[members], pulls[first], sizes[members], sizes[first])
            yield np.sort(members), float(apart.max())


def _distance(a: Array, b: Array, size_a: Array, size_b: Array) -> Array:
    size = np.maximum(np.maximum(size_a, size_b), 1e-300)
    distance: Array = np.sqrt(np.square(a - b).mean(1)) / size
    return distance
