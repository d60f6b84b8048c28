"""Layers that start as copies of each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import drawn_like, is_table
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Array, Evidence, Parameter
from pytest_initcheck.evidence.signals import finite_looks, largest_gradient, used_parameters
from pytest_initcheck.records import Finding, Severity

_SOURCE = "pytorch/pytorch issue 72253: TransformerEncoder deep-copies its layer"
# Fewer distinct rows than this come from a formula (identity, constants), not from a draw.
_RANDOM_ROWS = 2
# Far above rounding: what training separates differs by a visible part of the move.
_LOCKED = 1e-3


class Copies:
    """Reports different parameters with equal random values; ties are one parameter, no copy."""

    name = "copies"
    aspects = frozenset({"symmetry"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC203",
            title="copies that stay equal",
            cause="two layers start with equal weights and get equal gradients: they remain one "
            "layer",
            limit="difference of the moves of two copies, relative to the move, above "
            f"{number(_LOCKED)}",
            reference=_SOURCE,
            follows=frozenset({"IC201", "IC101", "IC104", "IC111", "IC501"}),
            quantity="difference of the moves of layers that start with equal weights, relative "
            "to the move",
            exempt="one tensor under two names, which is tied; constants and formulas (identity, "
            "sinusoids), which are no draw; frozen layers, and those without a gradient, as the "
            "target network of a learner",
            remedy="initialise each layer anew after copying, such as with reset_parameters()",
        ),
        Rule(
            id="IC204",
            title="copied layers",
            cause="layers start as copies of each other, as deepcopy makes them; training "
            "separates them, but they begin less diverse than drawn weights",
            limit="no equal random weights",
            reference=_SOURCE,
            follows=frozenset({"IC201", "IC203", "IC101", "IC104", "IC111", "IC501"}),
            quantity="layers with equal random weights that the steps move apart",
            exempt="as for IC203",
            severities=("warning",),
            remedy="initialise each layer anew after copying, such as with reset_parameters()",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        groups = [group for group in self._groups(evidence) if len(group) > 1]
        locked = [group for group in groups if self._is_locked(evidence, group)]
        loose = [group for group in groups if group not in locked]
        if locked:
            yield self._finding(evidence, 0, "error", locked)
        if loose:
            yield self._finding(evidence, 1, "warning", loose)

    def _groups(self, evidence: Evidence) -> list[list[Parameter]]:
        used = used_parameters(evidence)
        seen: dict[tuple[tuple[int, ...], bytes], list[Parameter]] = {}
        for name, parameter in evidence.parameters.items():
            rows = evidence.start.parameters[name].projections
            stats = evidence.start.parameters[name].stats
            if not parameter.trainable or name not in used or rows is None or stats is None:
                continue
            # What gets no gradient from this loss, as a target network, is not trained by it.
            if largest_gradient(evidence, parameter) is None:
                continue
            if (
                _is_random(evidence, parameter, rows)
                and stats.histogram
                and sum(map(bool, stats.histogram.counts)) > 4
            ):
                seen.setdefault((parameter.shape, rows.tobytes()), []).append(parameter)
        return list(seen.values())

    def _is_locked(self, evidence: Evidence, group: list[Parameter]) -> bool:
        looks = finite_looks(evidence)
        moves = []
        for parameter in group:
            start = looks[0].parameters[parameter.name].projections
            end = looks[-1].parameters[parameter.name].projections
            if start is None or end is None:
                return False
            moves.append((end - start)[:, :-1])
        size = max(float(np.abs(move).max()) for move in moves)
        apart = max(float(np.abs(move - moves[0]).max()) for move in moves)
        return size > 0 and apart <= _LOCKED * size

    def _finding(
        self,
        evidence: Evidence,
        index: int,
        severity: Severity,
        groups: list[list[Parameter]],
    ) -> Finding:
        layers = tuple(dict.fromkeys(p.layer for group in groups for p in group))
        return self.rules[index].found(
            self.name,
            severity,
            layers,
            "layers with equal weights",
            counts_layers=True,
            limit=0,
            code=drawn_like(
                {
                    p.name: stats.std or 0.0
                    for group in groups
                    for p in group[1:]
                    if (stats := evidence.start.parameters[p.name].stats)
                }
            ),
        )


def _is_random(evidence: Evidence, parameter: Parameter, rows: Array) -> bool:
    # The only row of a layer with one unit is judged by its values alone; tables may be ramps.
    if len(rows) == 1:
        return parameter.axis is not None
    if is_table(evidence, parameter) and _is_even(rows[:, -1]):
        return False
    if parameter.shape[-1] > 1 and _is_outer(rows):
        return False
    return len(np.unique(np.round(rows, 9), axis=0)) >= _RANDOM_ROWS


def _is_even(norms: Array) -> bool:
    """Whether all rows but those of zeros have one norm, as sines beside cosines have."""
    some = norms[norms > 0]
    return len(some) > 1 and float(np.ptp(some)) < 1e-4 * float(some.max())


def _is_outer(rows: Array) -> bool:
    """Whether all rows are multiples of one, as in a table that repeats a ramp."""
    some = rows[rows[:, -1] > 0]
    if len(some) < 2 or not np.isfinite(some).all():
        return True
    units = some[:, :-1] / some[:, -1:]
    signs = np.where((units @ units[0])[:, None] < 0, -1.0, 1.0)
    return float(np.abs(signs * units - units[0]).max()) < 1e-6
