"""Units that start alike and that training cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.checks.prose import number, percent
from pytest_initcheck.checks.remedy_code import redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Array, Evidence, Parameter
from pytest_initcheck.evidence.gradient_flow import next_layers, read_layers
from pytest_initcheck.evidence.signals import depth_of, finite_looks
from pytest_initcheck.evidence.similar_rows import MANY, NEARLY, groups_of, nearly
from pytest_initcheck.records import Finding

# Rounding in another order of summation separates equal units by a few units in the last place,
# and the steps add up; anything that training separates differs by a visible part of the move.
_ROUNDING = {"float64": 1e-9, "float32": 1e-5, "bfloat16": 0.2, "float16": 0.05}
# Among many units some differ by little: chance has distances of all sizes, a lock none but zero.
_WINDOW = 30.0
# Units whose gradients differ by a hundredth take a hundred steps to differ by one step.
_NEAR = 1e-2


@dataclass(frozen=True)
class _Locked:
    parameter: Parameter
    groups: list[Array]
    apart: float


class Symmetry:
    """Follows units whose incoming weights are equal through real steps.

    Equal weights alone are no fault: where their gradients differ the first step separates them.
    Units are locked when they get a gradient, and all get the same. Units that start nearly equal
    and get nearly the same gradient separate slowly.
    """

    name = "symmetry"
    aspects = frozenset({"symmetry"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC201",
            title="units that stay equal",
            cause="units start with equal weights and get equal gradients, so that no step can "
            "ever separate them: together they compute what one unit could",
            limit="distance between the gradients of two units, relative to the gradient, above "
            "rounding",
            reference="Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            follows=frozenset({"IC101", "IC104", "IC111", "IC501", "IC502", "IC503"}),
            quantity="distance between the gradients of units that start equal, relative to the "
            "gradient, over all steps",
            exempt="equal units that get different gradients (one constant layer, a constant "
            "output layer) or none; the output layer; frozen parameters and vectors",
            remedy="draw the weights at random, such as torch.nn.init.xavier_uniform_(weight)",
        ),
        Rule(
            id="IC202",
            title="units that are nearly equal",
            cause=f"{percent(MANY)} of the units or more start with nearly the same weights and "
            "get nearly the same gradients: they separate, but slowly, and until then compute "
            "what one unit could",
            limit="distance between the gradients of two units that start within "
            f"{number(NEARLY)} of each other, relative to the gradient, above {number(_NEAR)}",
            reference="Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            follows=frozenset({"IC101", "IC104", "IC111", "IC501", "IC502", "IC503"}),
            quantity="distance between the gradients of units that start nearly equal, relative to "
            "the gradient, over all steps",
            exempt=f"as for IC201; where fewer than {percent(MANY)} of the units are close to "
            "another",
            severities=("warning",),
            remedy="draw the weights at random, such as torch.nn.init.xavier_uniform_(weight)",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        candidates = [p for p in evidence.parameters.values() if _can_lock(evidence, p)]
        for index, group in enumerate((groups_of, nearly)):
            judged = (self._judged(evidence, p, group) for p in candidates)
            found = [one for one in judged if one is not None]
            if found:
                yield self._finding(evidence, index, found)
                return

    def _finding(self, evidence: Evidence, index: int, found: list[_Locked]) -> Finding:
        depth = depth_of(evidence)
        found.sort(key=lambda one: depth(one.parameter.layer))
        first = found[0]
        layers = tuple(dict.fromkeys(one.parameter.layer for one in found))
        units = np.sort(np.concatenate(first.groups))
        return self.rules[index].found(
            self.name,
            "warning" if index else "error",
            layers,
            "relative distance between the gradients of equal units",
            measured=first.apart,
            limit=_NEAR if index else _tolerance(evidence, first.parameter),
            units=tuple(int(unit) for unit in units),
            code=redraw(evidence, layers),
        )

    def _judged(
        self, evidence: Evidence, parameter: Parameter, group: Callable[[Array], list[Array]]
    ) -> _Locked | None:
        """The groups of rows that start alike and whose gradients agree in all looks."""
        looks = finite_looks(evidence)
        start = looks[0].parameters[parameter.name].projections if looks else None
        pulls = [look.parameters[parameter.name].gradient_projections for look in looks[1:]]
        known = [pull[:, :-1] for pull in pulls if pull is not None]
        if start is None or not known:
            return None
        tolerance = _tolerance(evidence, parameter) if group is groups_of else _NEAR
        groups, apart = [], 0.0
        for members in group(start):
            together = np.concatenate([pull[members] for pull in known], axis=1)
            for alike, distance in _still_alike(together, tolerance):
                groups.append(members[alike])
                apart = max(apart, distance)
        return _Locked(parameter, groups, apart) if groups else None


def _can_lock(evidence: Evidence, parameter: Parameter) -> bool:
    """Whether units of a parameter can be locked: a later layer reads them.

    Output units that the loss treats alike, such as absent classes, are no fault; neither are
    the rows of a table of zeros, such as positions that are averaged.
    """
    stats = evidence.start.parameters[parameter.name].stats
    if not parameter.trainable or len(parameter.shape) < 2 or stats is None:
        return False
    if parameter.axis is not None:
        return parameter.layer in read_layers(evidence)
    return stats.zero_share < 1 and any(
        next_layers(evidence, node) for node in evidence.nodes if parameter.name in node.params
    )


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
