"""What mends an exponent that is outside of its band: an initialiser, or a rate."""

from __future__ import annotations

import math

from pytest_initcheck.sizes.expected import Parametrization
from pytest_initcheck.sizes.result import Role

_STARTS: dict[Role, str] = {
    "input": "its initialiser: the standard deviation of its weights must not depend on the width "
    "(its fan-in is fixed)",
    "hidden": "its initialiser: draw its weights with a standard deviation in proportion to "
    "1/√fan_in (He, Glorot)",
    "output": "its initialiser: draw its weights with a standard deviation in proportion to "
    "1/√fan_in",
}
_READOUT = (
    "its initialiser: draw the readout with a standard deviation in proportion to 1/fan_in, start "
    "it at zero, or divide its result by the width"
)
_BETWEEN = (
    "what reaches it, or a factor between layers: its own weight changes as it should; where it is "
    "the readout, draw it in proportion to 1/fan_in, as what comes in now moves along its weights"
)
_SCALE = (
    "the scale of the logits: divide them by the size of a head, times the root of that of the "
    "smallest model (muP: queries move along keys), instead of by its root"
)
_START_SCALE = "the scale of the logits: divide them by the root of the size of a head, or by it"
# Adam's, then SGD's. Source: Yang et al., Tensor Programs V (2022), table 3.
_RATES: dict[Role, tuple[str, str]] = {
    "input": ("independent of the width", "in proportion to the width"),
    "hidden": ("in proportion to 1/width", "independent of the width"),
    "output": ("in proportion to 1/width", "in proportion to 1/width"),
}


def remedy(
    quantity: str,
    role: Role,
    parametrization: Parametrization | None,
    exponent: float,
    *,
    is_too_large: bool,
) -> str:
    """What to do about a layer of this role, in one sentence; "" where only the layer says it."""
    if role == "logits":
        return _SCALE if quantity == "change" else _START_SCALE
    if quantity in ("weight", "gain", "activation"):
        if role == "output" and parametrization == "mup":
            return _READOUT
        return _STARTS.get(role, "")
    if quantity == "change":
        return _BETWEEN
    adam, sgd = _RATES.get(role, ("", ""))
    power = "" if math.isnan(exponent) else f": multiply it by width^{-exponent:+.2g}"
    factor = f"its rate{power}"
    if not adam:
        return factor
    size = "too large" if is_too_large else "too small"
    return f"{factor}; it is {size} for what muP gives: {adam} under Adam, {sgd} under SGD"
