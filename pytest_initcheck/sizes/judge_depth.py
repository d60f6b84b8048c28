"""What is wrong with how a model scales with its depth."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.external_rules import DEPTH
from pytest_initcheck.records import Finding
from pytest_initcheck.sizes.expected import ANY_DEPTH, TRANSFERS, ExponentRange
from pytest_initcheck.sizes.exponent import Exponent, slope_of
from pytest_initcheck.sizes.judge_width import is_outside
from pytest_initcheck.sizes.result import Scaling

_MEND = {
    "activation": "draw the weights with the gain of their nonlinearity (He: √2 for ReLU), "
    "normalise the stream, or multiply residual branches with 1/√depth",
    "change": "lower the rate with the depth, or scale what the branches add (DeepNet, Fixup, a "
    "gate that starts at zero)",
}


def judge_depth(found: Scaling, *, transfers: bool = False) -> list[Finding]:
    """Findings about the output's spread, the gradient at the first layer, the output's change.

    ``transfers`` says that one rate is claimed to serve every depth: then the change has to stay as
    it is, too, and no growth at the start is allowed.
    """
    bands = TRANSFERS if transfers else ANY_DEPTH
    drift = _drift(found)
    asked = [
        ("(output)", "activation", 0, bands.spread.widened(drift)),
        ("(input)", "gradient", 0, bands.gradient.widened(drift)),
        *(("(output)", "change", step, bands.change) for step in range(1, found.steps + 1)),
    ]
    return list(_findings(found, asked))


def _drift(found: Scaling) -> float:
    """How far chance lowers the exponent of a size that holds on average, in layers of this width.

    The logarithm of a root mean square falls by 5/4 Σ 1/fan_in over ReLU layers with the gain of
    He, as its mean square stays and its logarithm's variance is 5 Σ 1/fan_in. Source: Hanin, Nica:
    Products of Many Large Random Matrices and Gradients in Deep Neural Networks (2019).
    """
    sums = [sum(1 / shape.fan_in for shape in shapes.values()) for shapes in found.shapes]
    return max(0.0, slope_of(found.sizes, [math.exp(1.25 * total) for total in sums]))


def _findings(
    found: Scaling, asked: list[tuple[str, str, int, ExponentRange]]
) -> Iterator[Finding]:
    told = set()
    for layer, quantity, step, band in asked:
        if quantity in told or step not in found.steps_of(layer, quantity):
            continue
        exponent = found.exponent(layer, quantity, step)
        if is_outside(exponent, band):
            told.add(quantity)
            yield _finding(found, layer, quantity, step, exponent, band)


def _finding(
    found: Scaling, layer: str, quantity: str, step: int, exponent: Exponent, band: ExponentRange
) -> Finding:
    is_lost = exponent.lost > 0
    what = "gradient at the first layer" if layer == "(input)" else f"{quantity} of the output"
    law = (
        f"{exponent.lost} values are not finite"
        if is_lost
        else f"it goes like depth^{exponent}, or 2^({exponent.rate:+.2g} depth)"
    )
    limit = band.high if is_lost or exponent.value > band.high else band.low
    return DEPTH.found(
        "depth",
        "error",
        found.layers[:1] if layer == "(input)" else (),
        f"exponent of the {what} at step {step} against the depth",
        measured=None if is_lost else exponent.value,
        limit=None if is_lost else limit,
        cause=f"{law}; allowed: {band}",
        remedy=_MEND.get(quantity, _MEND["activation"]),
    )
