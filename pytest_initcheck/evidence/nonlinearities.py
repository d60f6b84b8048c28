"""What is known of each nonlinearity by its name: the one table that measures and judges read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["rectifier", "squashing", "softmax", "other"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A nonlinearity, by the name that torch gives its function or operator.

    ``is_flat``: it is constant, or tends to a constant, somewhere, so that no gradient comes
    through; ``is_shut`` exactly so on one side alone. ``bounds``: its values do not reach all
    numbers. ``rectifies``: a layer before it is drawn by the rule of He et al. (2015).
    """

    family: Family = "other"
    is_flat: bool = False
    is_shut: bool = False
    bounds: bool = False
    rectifies: bool = False


_clamp = Kind(family="rectifier", is_flat=True, is_shut=True, bounds=True, rectifies=True)
_hard = Kind(family="squashing", is_flat=True, bounds=True)
_smooth = Kind(family="rectifier", rectifies=True)
_leaky = Kind(rectifies=True)
_bounded = Kind(bounds=True)
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("relu", "relu6", "clamp", "clip", "clamp_min", "clamp_max"), _clamp),
    "threshold": Kind(family="rectifier", is_flat=True, is_shut=True, rectifies=True),
    "hardswish": Kind(family="rectifier", is_shut=True, rectifies=True),
    **dict.fromkeys(("sigmoid", "tanh", "hardtanh", "hardsigmoid"), _hard),
    "softsign": Kind(family="squashing", bounds=True),
    **dict.fromkeys(("gelu", "silu", "mish", "elu", "celu"), _smooth),
    # Its own rule keeps mean and variance: LeCun normal, not He's.
    "selu": Kind(family="rectifier"),
    "softplus": Kind(family="rectifier", bounds=True, rectifies=True),
    "logsigmoid": Kind(family="rectifier", bounds=True),
    **dict.fromkeys(("leaky_relu", "prelu", "rrelu"), _leaky),
    "softmax": Kind(family="softmax", is_flat=True, bounds=True),
    **dict.fromkeys(("log_softmax", "exp", "sin"), _bounded),
    **dict.fromkeys(("glu", "tanhshrink"), Kind()),
}
FLAT = frozenset(name for name, kind in KINDS.items() if kind.is_flat)
CAN_SHUT = frozenset(name for name, kind in KINDS.items() if kind.is_shut)
BOUNDING = frozenset(name for name, kind in KINDS.items() if kind.bounds)
RECTIFIERS = frozenset(name for name, kind in KINDS.items() if kind.rectifies)
CLAMPS = frozenset(name for name in KINDS if name.startswith(("clamp", "clip")))
