"""Units that start alike and that training cannot tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.capture.look import groups_of
from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.traits import depth_of, finite_looks
from pytest_initcheck.evidence import Array, Evidence, Parameter
from pytest_initcheck.records import Finding

# Rounding in another order of summation separates equal units by a few units in the last place,
# and the steps add up; anything that training separates differs by a visible part of the move.
_ROUNDING = {"float64": 1e-6, "float32": 1e-3, "bfloat16": 0.2, "float16": 0.05}


@dataclass(frozen=True)
class _Locked:
    parameter: Parameter
    groups: list[Array]
    apart: float


class Symmetry:
    """Follows units whose incoming weights are equal through real steps.

    Equal weights alone are no fault: where their gradients differ the first step separates them.
    Units are locked when they move, and all move alike.
    """

    name = "symmetry"
    rules = (
        Rule(
            "IC201",
            "units that stay equal",
            "units start with equal weights and get equal gradients, so that no step can ever "
            "separate them: together they compute what one unit could",
            "difference of the moves of two units, relative to the move, above rounding",
            "Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            frozenset({"IC101", "IC501", "IC502", "IC503"}),
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
            "relative difference between the moves of equal units",
            first.apart,
            _tolerance(evidence, first.parameter),
            remedy="draw the weights at random, such as torch.nn.init.xavier_uniform_(weight)",
            units=tuple(int(unit) for unit in units),
        )

    def _followed(self, evidence: Evidence) -> Iterator[_Locked]:
        looks = finite_looks(evidence)
        if len(looks) < 2:
            return
        for name, parameter in evidence.parameters.items():
            start = looks[0].parameters[name].projections
            end = looks[-1].parameters[name].projections
            if not parameter.trainable or parameter.axis is None or start is None or end is None:
                continue
            tolerance = _tolerance(evidence, parameter)
            groups, apart = [], 0.0
            for group in groups_of(start):
                for members, distance in _still_alike(start[group], end[group], tolerance):
                    groups.append(group[members])
                    apart = max(apart, distance)
            yield _Locked(parameter, groups, apart)


def _tolerance(evidence: Evidence, parameter: Parameter) -> float:
    stats = evidence.start.parameters[parameter.name].stats
    return _ROUNDING.get(stats.dtype if stats else "float32", 1e-3)


def _still_alike(start: Array, end: Array, tolerance: float) -> Iterator[tuple[Array, float]]:
    """Members of a group of equal rows whose moves agree, with their largest relative distance."""
    moves = end[:, :-1] - start[:, :-1]
    size = float(np.sqrt(np.square(moves).mean(1)).max(initial=0.0))
    if not np.isfinite(size) or size <= _resolution(start):
        return
    order = np.lexsort(moves.T[::-1])
    gaps = np.sqrt(np.square(np.diff(moves[order], axis=0)).mean(1)) / size
    for members in np.split(order, np.flatnonzero(gaps > tolerance) + 1):
        if len(members) > 1 and np.abs(moves[members]).max() > _resolution(start):
            apart = moves[members] - moves[members[:1]]
            yield np.sort(members), float(np.sqrt(np.square(apart).mean(1)).max() / size)


def _resolution(start: Array) -> float:
    # A smaller move than this is lost in the rounding of the weights themselves.
    return float(np.abs(start).max(initial=0.0)) * 1e-9
