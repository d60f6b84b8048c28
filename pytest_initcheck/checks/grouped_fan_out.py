"""Grouped convolutions whose initialiser counted the connections of all groups."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import drawn_like
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.evidence.construction import Built
from pytest_initcheck.evidence.gradient_flow import is_normalised
from pytest_initcheck.evidence.similar_rows import groups_of
from pytest_initcheck.records import Finding

# Below this the factor √groups is within what other initialisers differ by.
_GROUPS = 4
# Standard errors of a measured standard deviation, 1/√(2n) relative.
_Z = 4.0
# The gains of ReLU, of no nonlinearity, of tanh and of SELU (torch.nn.init.calculate_gain).
_GAINS = (math.sqrt(2), 1.0, 5 / 3, 0.75)
_ROUNDING = 1e-3
# Too few weights to tell one σ from another.
_DISTINCT = 0.2


class GroupedFan:
    """Recognises the signature of He's initialiser in fan-out mode, which ignores groups.

    torch.nn.init computes the fan-out of a convolution as out_channels · kernel size, which is
    too large by the number of groups: the weights come out too small by its square root. With a
    normalisation behind the layer that has no effect.
    """

    name = "fan"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC106",
            title="fan-out that ignores groups",
            cause="the standard deviation is that of fan-out over all groups, although each input "
            "channel feeds one group only: the weights are too small by the square root of the "
            "number of groups, and no normalisation follows",
            limit="standard deviation away from gain / √(out_channels · kernel size) by more than "
            f"{number(_Z)} standard errors, for {_GROUPS} groups or more and the gains of "
            "torch.nn.init",
            reference="He, Zhang, Ren, Sun: Delving Deep into Rectifiers (2015), section 2.2",
            follows=frozenset({"IC101", "IC104", "IC111", "IC501"}),
            quantity="standard deviation of the weights of a grouped convolution",
            exempt="where a normalisation follows; where weights of another fan-out have the same "
            "standard deviation, as with one σ for all; where the fan-in of a group explains it as "
            f"well, as torch's default does; other initialisers; fewer than {_GROUPS} groups",
            severities=("warning",),
            remedy="pass mode='fan_in' to torch.nn.init.kaiming_normal_",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found = {p.name: p for p in evidence.parameters.values() if _ignores_groups(evidence, p)}
        if not found:
            return
        first = next(iter(found.values()))
        spread = {name: _std(evidence, p) for name, p in found.items()}
        yield self.rules[0].found(
            self.name,
            "warning",
            tuple(p.layer for p in found.values()),
            "standard deviation of the weights",
            measured=spread[first.name],
            limit=spread[first.name] * math.sqrt(first.groups),
            code=drawn_like({n: spread[n] * math.sqrt(p.groups) for n, p in found.items()}),
        )


def _ignores_groups(evidence: Evidence, parameter: Parameter) -> bool:
    std, n = _std(evidence, parameter), math.prod(parameter.shape)
    rows = evidence.start.parameters[parameter.name].projections
    if parameter.groups < _GROUPS or len(parameter.shape) < 3 or not std:
        return False
    # Rows that are alike were not drawn: a blur, or an upsampling.
    if rows is not None and groups_of(rows):
        return False
    built = evidence.construction and evidence.construction.of(parameter.name)
    if built:
        return _was_told(built, parameter) and not is_normalised(evidence, parameter.name)
    wrong = 1 / math.sqrt(parameter.shape[0] * math.prod(parameter.shape[2:]))
    tolerance = _Z / math.sqrt(2 * n)
    is_wrong = any(abs(std / (gain * wrong) - 1) < tolerance for gain in _GAINS)
    return (
        is_wrong
        and not _is_right(evidence, parameter, std, tolerance)
        and not is_normalised(evidence, parameter.name)
        and not _is_shared(evidence, parameter, std, tolerance)
    )


def _was_told(built: Built, parameter: Parameter) -> bool:
    """Whether the initialiser itself counted all groups, by its mode or by the σ that it got."""
    if built.law is not None:
        return built.law.values.get("mode") == "fan_out" and built.law.shape == built.shape
    first = next(iter(built.effective), None)
    asked = first.number("std") if first is not None and first.draws else None
    if not asked or built.draw is None or not built.draw.is_like(asked):
        return False
    wrong = 1 / math.sqrt(parameter.shape[0] * math.prod(parameter.shape[2:]))
    right = 1 / math.sqrt(math.prod(parameter.shape[1:]))
    return _is_gain(asked / wrong) and not _is_gain(asked / right)


def _is_gain(ratio: float) -> bool:
    return any(abs(ratio / gain - 1) < _ROUNDING for gain in _GAINS)


def _std(evidence: Evidence, parameter: Parameter) -> float:
    stats = evidence.start.parameters[parameter.name].stats
    return (stats.std or 0.0) if stats else 0.0


def _is_right(evidence: Evidence, parameter: Parameter, std: float, tolerance: float) -> bool:
    """Whether the weights fit the fan-in of a group as well, or are what torch draws unasked."""
    limit = 1 / math.sqrt(math.prod(parameter.shape[1:]))
    if any(abs(std / (gain * limit) - 1) < tolerance for gain in _GAINS):
        return True
    stats = evidence.start.parameters[parameter.name].stats
    largest = max(abs(stats.min or 0.0), abs(stats.max or 0.0)) if stats else 0.0
    # Uniform between ±1/√fan-in.
    is_uniform = largest <= limit * (1 + _ROUNDING)
    return is_uniform and abs(std / limit * math.sqrt(3) - 1) < tolerance


def _is_shared(evidence: Evidence, parameter: Parameter, std: float, tolerance: float) -> bool:
    """Whether weights of another fan-out have the same σ: then no fan was asked for."""
    fan = parameter.shape[0] * math.prod(parameter.shape[2:])
    for other in evidence.parameters.values():
        if len(other.shape) > 1 and other.shape[0] * math.prod(other.shape[2:]) != fan:
            close = tolerance + _Z / math.sqrt(2 * math.prod(other.shape))
            if abs(_std(evidence, other) / std - 1) < close < _DISTINCT:
                return True
    return False
