"""What is wrong with how a model scales with its width, and in which layer it begins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_initcheck.checks.external_rules import WIDTH
from pytest_initcheck.records import Finding
from pytest_initcheck.sizes.expected import (
    EXPECTED,
    LOGITS_AT_START,
    Expected,
    ExponentRange,
    Parametrization,
    at_most,
    expected_of,
)
from pytest_initcheck.sizes.exponent import Exponent, slope_of
from pytest_initcheck.sizes.remedies import remedy
from pytest_initcheck.sizes.result import Role, Scaling
from pytest_initcheck.statistics import CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class WrongExponent:
    """An exponent that is outside of its band."""

    layer: str
    quantity: str
    step: int
    exponent: Exponent
    band: ExponentRange


def judge_width(found: Scaling, parametrization: Parametrization | None) -> list[Finding]:
    """One finding for each layer in which something begins that a parametrisation excludes.

    What comes first explains the rest, so that the first of these that has faults is told alone:
    the gain of layers at the start; their output at the start; at the first step that has any,
    what their own weights changed; the change of their output.

    Raises:
        InitcheckError: there is no such parametrisation.
    """
    expected = expected_of(parametrization)
    for faults in _stages(found, expected):
        if faults:
            return [_finding(fault, found, parametrization) for fault in faults]
    return []


def _stages(found: Scaling, expected: Expected) -> Iterator[list[WrongExponent]]:
    layers = found.layers
    yield list(_faults_of_gain(found, expected))
    yield list(_faults(found, layers, "activation", 0, expected))[:1]
    for step in range(1, found.steps + 1):
        yield list(_faults(found, layers, "own change", step, expected))
    for step in range(1, found.steps + 1):
        yield list(_faults(found, (*layers, "(output)"), "change", step, expected))[:1]


def _faults(
    found: Scaling, layers: tuple[str, ...], quantity: str, step: int, expected: Expected
) -> Iterator[WrongExponent]:
    for layer in layers:
        if step not in found.steps_of(layer, quantity):
            continue
        exponent = found.exponent(layer, quantity, step, _confidence(found, step))
        band = _band(found, layer, quantity, expected)
        if is_outside(exponent, band):
            yield WrongExponent(
                layer=layer, quantity=quantity, step=step, exponent=exponent, band=band
            )


def _faults_of_gain(found: Scaling, expected: Expected) -> Iterator[WrongExponent]:
    """Faults of the gain that is measured, or else of what the weight's own size lets expect.

    The second has many more values behind it, but knows nothing of data that the weight knows: it
    counts where the first does not say that all is well.
    """
    for layer in found.layers:
        if not found.steps_of(layer, "gain"):
            continue
        measured = list(_faults(found, (layer,), "gain", 0, expected))
        if measured or not is_inside(
            found.exponent(layer, "gain", 0), _band(found, layer, "gain", expected)
        ):
            yield from measured or _faults(found, (layer,), "weight", 0, expected)


def is_inside(exponent: Exponent, band: ExponentRange) -> bool:
    """Whether the whole interval is inside."""
    return exponent.is_known and band.low <= exponent.low and exponent.high <= band.high


def _confidence(found: Scaling, step: int) -> float:
    """Of one look: a layer that is looked at after each step may fail by chance at any of them.

    All looks together have `CONFIDENCE`. Source: Bonferroni (1936).
    """
    return 1 - (1 - CONFIDENCE) / found.steps if step else CONFIDENCE


def is_outside(exponent: Exponent, band: ExponentRange) -> bool:
    """Whether the whole interval is outside, or some values are not finite."""
    if exponent.lost:
        return True
    return exponent.is_known and (exponent.low > band.high or exponent.high < band.low)


def _band(found: Scaling, layer: str, quantity: str, expected: Expected) -> ExponentRange:
    role = found.role(layer)
    if role == "logits":
        if quantity == "activation":
            return LOGITS_AT_START
        return expected.change_of_logits.lowered(_share_at_random(found, layer))
    if quantity in ("weight", "gain", "activation"):
        # What a tied readout meets in the stream is what its own rows put there.
        if expected is EXPECTED["mup"] and any(map(found.is_tied, _readouts(found, layer))):
            return at_most(0)
        return expected.at_start(role)
    return expected.of_change(role).widened(_short_of_the_limit(found, layer))


def _readouts(found: Scaling, layer: str) -> list[str]:
    """The readout that a layer is, or that the model's output comes from."""
    return [
        name
        for name in found.layers
        if found.role(name) == "output" and layer in (name, "(output)")
    ]


def _short_of_the_limit(found: Scaling, layer: str) -> float:
    """How far below its limit the exponent of a change may be at widths that are finite.

    A step makes W change along every row of the batch. What a row meets of itself is a sum of
    fan_in terms of one sign, what it meets of the R others are sums of random sign: in squares 1 to
    (π/2) R / fan_in where rows have nothing in common (π/2 as Adam's first step keeps the signs
    alone; Bussgang 1952). The second part falls with the width. A model's output moves as its
    readout does, and along with what comes into it, which is the same kind of sum.
    """
    summed = [layer] if found.role(layer) in ("hidden", "output") else _readouts(found, layer)
    return max((_share_at_random(found, one) for one in summed), default=0.0)


def _share_at_random(found: Scaling, layer: str) -> float:
    """By how much the part of random sign lowers an exponent, of a sum of fan_in terms.

    A logit is such a sum over the numbers of a head: a query moves along all keys, of which one is
    that of the logit.
    """
    shapes = [shapes[layer] for shapes in found.shapes]
    extra = [math.sqrt(1 + math.pi / 2 * s.rows / s.fan_in) for s in shapes]
    return max(0.0, -slope_of(found.sizes, extra))


def _finding(
    fault: WrongExponent, found: Scaling, parametrization: Parametrization | None
) -> Finding:
    exponent, role = fault.exponent, found.role(fault.layer)
    when = "at the start" if fault.step == 0 else f"after step {fault.step}"
    is_lost = exponent.lost > 0
    grows = is_lost or exponent.value > fault.band.high
    measured = math.nan if is_lost else exponent.value
    told = (
        f"{exponent.lost} values are not finite"
        if is_lost
        else f"it {'grows' if grows else 'changes'} like width^{exponent}"
    )
    return WIDTH.found(
        "width",
        "error",
        () if role == "model" else (fault.layer,),
        f"exponent of the {fault.quantity} {when} against the width",
        measured=None if is_lost else measured,
        limit=None if is_lost else (fault.band.high if grows else fault.band.low),
        cause=f"{told}; allowed for {_these(role)} under {_title(parametrization)}: {fault.band}",
        remedy=remedy(fault.quantity, role, parametrization, exponent.value, is_too_large=grows),
    )


def _these(role: Role) -> str:
    return {"logits": "these logits", "model": "this output"}.get(role, f"this {role} layer")


def _title(parametrization: Parametrization | None) -> str:
    return "any parametrisation" if parametrization is None else f"{parametrization!r}"
