"""Whether the ranks that hold a model together hold what they should."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """A parameter, its layer, and two ranks whose values of it are, or are not, the same."""

    name: str
    layer: str
    ranks: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} on ranks {self.ranks[0]} and {self.ranks[1]}"


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What was compared between the ranks that hold a model, before anything ran.

    ``unequal`` are parameters of which two ranks hold the same part with other values, ``repeated``
    those of which two hold other parts with the same values, bit for bit. Parts whose rows, or
    columns, are all equal among themselves say nothing of it.
    """

    unequal: tuple[Pair, ...] = ()
    repeated: tuple[Pair, ...] = ()
