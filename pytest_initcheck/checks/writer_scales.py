"""How the matrices that write residual streams are scaled, beside what they could be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median_high

from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.streams import Stream, Writer

# A verified standard deviation lies within so many standard errors of what it should be.
ERRORS = 4.0
# Numbers by which an initialiser multiplies 1/√fan_in: of a linear layer, of ReLU, of torch's
# default for layers, uniform on ±1/√fan_in.
_GAINS = (1.0, math.sqrt(2), 1 / math.sqrt(3))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A matrix with the deviation that its branch has of it; ``error`` is the standard error of
    its logarithm, 1/√(2n) for n normal values and less for what is bounded."""

    parameter: str
    layer: str
    role: str
    sigma: float
    error: float
    fan_in: int
    fan_out: int

    def is_near(self, sigma: float, errors: float = ERRORS, other: float = 0.0) -> bool:
        """Whether another deviation, with the error ``other``, lies within so many errors."""
        if sigma <= 0 or self.sigma <= 0:
            return sigma == self.sigma
        return abs(math.log(self.sigma / sigma)) <= errors * math.hypot(self.error, other)

    def can_tell(self, factor: float, other: float = 0.0) -> bool:
        """Whether no matrix of its size is near to a deviation and to it over ``factor`` too."""
        return abs(math.log(factor)) > 2 * ERRORS * math.hypot(self.error, other)


def role_of(name: str) -> str:
    """What a parameter is among its kind: its name without the numbers of blocks.

    The last module keeps the digits of its name: w2 and w3 are two roles.
    """
    *path, last, own = ["", *name.split(".")] if "." in name else ["", "", name]
    shared = [re.sub(r"\d+", "*", part) for part in path if part]
    return ".".join([*shared, "*" if last.isdigit() else last, own]).strip(".")


def scale_of(evidence: Evidence, name: str, factor: float = 1.0) -> Scale | None:
    """The scale of a matrix; None where it was not drawn: zeros, constants, what is not finite."""
    parameter, look = evidence.parameters[name], evidence.start.parameters[name]
    stats = look.stats
    if stats is None or not stats.std or not stats.rms or stats.nonfinite or factor == 0:
        return None
    count = stats.n
    fan_in = parameter.fan_in or (parameter.shape[-1] if parameter.shape else 1)
    return Scale(
        parameter=name,
        layer=parameter.layer,
        role=f"{role_of(name)} {parameter.shape}",
        sigma=stats.rms * factor,
        error=1 / math.sqrt(2 * count),
        fan_in=fan_in,
        fan_out=count // max(fan_in, 1),
    )


def gain_of(evidence: Evidence, writer: Writer) -> float:
    """By how much the branch is multiplied behind its writer."""
    gain = writer.factor
    for name in writer.gains:
        stats = evidence.start.parameters[name].stats
        gain *= (stats.rms or 0.0) if stats is not None else 1.0
    return gain


def writers_of(
    evidence: Evidence, stream: Stream, *, with_gains: bool = True
) -> dict[str, list[Scale]]:
    """The scales of the writers of a stream by their role, in the order in which they ran.

    Left out are those that a normalisation takes the scale of, and that are not stored as used.
    """
    found: dict[str, list[Scale]] = {}
    for writer in stream.writers:
        if writer.is_normalised or not writer.is_plain:
            continue
        gain = gain_of(evidence, writer) if with_gains else 1.0
        scale = scale_of(evidence, writer.parameter, gain)
        if scale is not None and scale.sigma > 0:
            found.setdefault(scale.role, []).append(scale)
    return found


@dataclass(frozen=True)
class Base:
    """What matrices are drawn with before their depth is minded: a deviation ``sigma``, or, where
    it goes by the fan, a ``gain`` over √fan_in; ``error`` is that of the logarithm."""

    sigma: float
    gain: float
    error: float
    by_fan: bool

    def of(self, scale: Scale) -> tuple[float, ...]:
        """The deviations that a matrix may have by it."""
        by_fan = self.gain / math.sqrt(scale.fan_in)
        return (by_fan,) if self.by_fan else (self.sigma,)


def base_of(evidence: Evidence, stream: Stream, given: float | None = None) -> Base | None:
    """What the matrices that read a stream agree on; None where they do not.

    Where all have one fan, it goes by the fan if their gain is one that initialisers have. Of two
    halves the wider one counts: what is divided by the depth is the narrower.
    """
    if given is not None:
        return Base(given, 0.0, 0.0, by_fan=False)
    scales = [s for name in stream.readers if (s := scale_of(evidence, name)) is not None]
    if not scales:
        return None
    sigma = median_high(scale.sigma for scale in scales)
    gain = median_high(scale.sigma * math.sqrt(scale.fan_in) for scale in scales)
    error = min(scale.error for scale in scales)
    is_plain = _half(scale.is_near(sigma, other=error) for scale in scales)
    is_fan = _half(scale.is_near(gain / math.sqrt(scale.fan_in), other=error) for scale in scales)
    if not is_plain and not is_fan:
        return None
    is_known = any(abs(math.log(gain / one)) <= ERRORS * 2 * error for one in _GAINS)
    return Base(sigma, gain, error, by_fan=is_fan and (is_known or not is_plain))


def _half(flags: Iterable[bool]) -> bool:
    values = list(flags)
    return 2 * sum(values) >= len(values)


def standard_deviations(scale: Scale) -> tuple[float, ...]:
    """What common initialisers give a matrix: LeCun, He and torch's default, by either of its fans,
    and Xavier."""
    fans = scale.fan_in, scale.fan_out
    by_fan = [gain / math.sqrt(max(fan, 1)) for fan in fans for gain in _GAINS]
    return (*by_fan, math.sqrt(2 / (scale.fan_in + scale.fan_out)))


def depth_factors(stream: Stream) -> tuple[float, ...]:
    """By what writers are divided for their depth: √ of the additions, or of the blocks.

    A block is a module that makes several additions, as one with attention and an MLP does.
    """
    count = len(stream.additions)
    blocks = len({addition.owner for addition in stream.additions})
    counts = {count, blocks} if blocks > 1 else {count, (count + 1) // 2}
    return tuple(math.sqrt(one) for one in sorted(counts, reverse=True) if one > 1)


def is_drawn_by_depth(scales: Sequence[Scale]) -> bool:
    """Whether deviations fall as 1/√l from block to block (Zhang, Titov, Sennrich: Improving Deep
    Transformer with Depth-Scaled Initialization and Merged Attention, 2019)."""
    if len(scales) < 3:
        return False
    first = scales[0]
    if not scales[-1].can_tell(math.sqrt(len(scales)), other=first.error):
        return False
    return all(
        scale.is_near(first.sigma / math.sqrt(place), other=first.error)
        for place, scale in enumerate(scales, 1)
    )
