"""The losses of the steps as one value, of which all that is said about them is a property."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

# Large rates may raise the loss for a step and still converge; not several times over.
BLOWN = 5.0
# Rounding and the noise of dropout between recurrent layers raise a loss by less.
_RISE = 0.05
# A loss that falls by less in all steps is at rest, or moves by its biases alone.
_FALL, TINY = 1e-3, 1e-2
# Predicting better than any constant by a twentieth of what can be learnt takes the input.
PROOF = 0.05


@dataclass(frozen=True, kw_only=True)
class LossTrajectory:
    """The loss on one batch before each step and after the last.

    ``is_chosen`` says that the caller passed the optimiser. ``uninformed`` is the loss of a
    prediction without knowledge, ``constant`` of the best constant one, ``floor`` the lowest
    there is; None where they are not known.
    """

    losses: tuple[float, ...]
    is_chosen: bool = False
    uninformed: float | None = None
    constant: float | None = None
    floor: float | None = None

    @property
    def first(self) -> float:
        """The loss at the start."""
        return self.losses[0]

    @property
    def last(self) -> float:
        """The loss after the steps."""
        return self.losses[-1]

    @property
    def is_finite(self) -> bool:
        """Whether no loss is NaN or infinite."""
        return all(map(math.isfinite, self.losses))

    @property
    def scale(self) -> float:
        """The largest of the first loss, chance and the loss of the best constant prediction."""
        return max(abs(self.first), self.uninformed or 0.0, self.constant or 0.0)

    @property
    def blown_up(self) -> float:
        """By what factor the steps of an optimiser that was passed raised the loss; 0 below BLOWN.

        What counts is where the steps end: the first step of some optimisers is large, and a
        spike that has come back does no harm. A loss that is not finite does not come back.
        """
        if not self.is_chosen or not math.isfinite(self.first):
            return 0.0
        last = self.last if self.is_finite else math.inf
        return last / self.scale if self.scale and last > BLOWN * self.scale else 0.0

    @property
    def spiked(self) -> float:
        """By what factor a step raised the loss; 0 below BLOWN, or where the steps end below the
        start. Whether later steps bring it back is told by `recovers`."""
        if not self.is_chosen or not self.is_finite or not self.scale:
            return 0.0
        is_spike = max(self.losses) > BLOWN * self.scale
        is_back = self.last < self.first and (self.recovers or self.has_learnt)
        return max(self.losses) / self.scale if is_spike and not is_back else 0.0

    @property
    def peak(self) -> float:
        """The largest loss over the first; infinite where one is not finite."""
        if not self.is_finite or not self.scale:
            return math.inf
        return max(self.losses) / self.scale

    @property
    def recovers(self) -> bool:
        """Whether the loss still falls in the last step; at rest nothing is left to."""
        before, last = self.losses[-2:]
        return last < before - _FALL * abs(before)

    @property
    def rises(self) -> bool:
        """Whether a step raised the loss by more than noise."""
        pairs = itertools.pairwise(self.losses)
        return self.is_finite and any(b > a + _RISE * abs(a) for a, b in pairs)

    @property
    def falls(self) -> bool:
        """Whether the steps end below the start by a thousandth."""
        return self.last < self.first - _FALL * abs(self.first)

    @property
    def is_tiny(self) -> bool:
        """Whether the loss fell by less than a hundredth, as biases alone can bring it to."""
        return self.last > self.first - TINY * abs(self.first)

    @property
    def has_learnt(self) -> bool:
        """Whether the steps end at a loss that no constant prediction has: the input was used.

        That is seen, and outranks whatever a size or a curvature lets one expect.
        """
        if not self.is_finite or self.constant is None or self.floor is None:
            return False
        proof = self.constant - PROOF * (self.constant - self.floor)
        return self.last < proof < self.first

    @property
    def left(self) -> float | None:
        """Which share of what can be learnt, from the best constant to the floor, is left."""
        if self.constant is None or self.floor is None or self.constant <= self.floor:
            return None
        return (self.last - self.floor) / (self.constant - self.floor)
