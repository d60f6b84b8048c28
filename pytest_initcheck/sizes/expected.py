"""Which exponents a parametrisation allows, by what a layer is; derived in docs/scaling.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.sizes.result import Role

Parametrization = Literal["standard", "mup", "ntk"]
# Exponents of widths are multiples of ½ in every such theory (a sum of n terms is n when they
# agree, √n when they do not): what is measured is told apart at half the way to the next.
MARGIN = 0.25


@dataclass(frozen=True)
class ExponentRange:
    """The exponents that are allowed, from ``low`` to ``high``."""

    low: float
    high: float

    def widened(self, below: float) -> ExponentRange:
        """With so much more allowed below."""
        return ExponentRange(self.low - below, self.high)

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:+.2f}"
        return f"{self.low:+.2f} to {self.high:+.2f}"


def around(exponent: float) -> ExponentRange:
    """What is nearer to an exponent than to those next to it."""
    return ExponentRange(exponent - MARGIN, exponent + MARGIN)


def at_most(exponent: float) -> ExponentRange:
    """The same, or anything smaller."""
    return ExponentRange(-math.inf, exponent + MARGIN)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The bands at the start and of the change by the steps; ``others`` are all but the readout."""

    start: ExponentRange
    start_of_output: ExponentRange
    change: ExponentRange
    change_of_output: ExponentRange

    def at_start(self, role: Role) -> ExponentRange:
        """For the gain and the output of a layer."""
        return self.start_of_output if role in ("output", "model") else self.start

    def of_change(self, role: Role) -> ExponentRange:
        """For the change of a layer's output."""
        return self.change_of_output if role in ("output", "model") else self.change


EXPECTED: dict[Parametrization | None, Expected] = {
    # The widest growth at a fixed rate is that of Adam, n terms of one size and one sign.
    "standard": Expected(
        start=around(0),
        start_of_output=around(0),
        change=at_most(1),
        change_of_output=at_most(1),
    ),
    # A readout that starts at zero is allowed, too.
    "mup": Expected(
        start=around(0),
        start_of_output=at_most(-0.5),
        change=around(0),
        change_of_output=around(0),
    ),
    # Features move like width^-½, and not at all in the limit; the output learns.
    "ntk": Expected(
        start=around(0),
        start_of_output=around(0),
        change=at_most(0),
        change_of_output=around(0),
    ),
    None: Expected(
        start=around(0),
        start_of_output=at_most(0),
        change=at_most(0),
        change_of_output=at_most(0),
    ),
}


def expected_of(parametrization: object) -> Expected:
    """The bands of a parametrisation.

    Raises:
        InitcheckError: there is none of that name.
    """
    if parametrization is not None and parametrization not in get_args(Parametrization):
        raise InitcheckError(
            f"parametrization is {parametrization!r}; pass one of "
            f"{', '.join(map(repr, get_args(Parametrization)))}, or None"
        )
    return EXPECTED[parametrization]  # type: ignore[index]


@dataclass(frozen=True, kw_only=True)
class Depths:
    """The bands against depth: of the output, the first gradient, and the output's change."""

    spread: ExponentRange
    gradient: ExponentRange
    change: ExponentRange


# Normalised branches that add up give √depth at most; so many layers that each move by a fixed
# amount move the output by depth at most. What is beyond multiplies from layer to layer.
ANY_DEPTH = Depths(
    spread=ExponentRange(-MARGIN, 0.5 + MARGIN),
    gradient=ExponentRange(-MARGIN, 0.5 + MARGIN),
    change=at_most(1),
)
# DeepNet, Fixup and the parametrisations of depth bound what a step changes.
TRANSFERS = Depths(spread=around(0), gradient=around(0), change=at_most(0))
