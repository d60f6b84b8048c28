"""Images whose channels lie between each other's pixels."""

from __future__ import annotations

from dataclasses import dataclass

# Fewer samples than this say nothing about the others.
FEWEST = 8
# More channels than this are no colours, with or without an opacity.
MOST_CHANNELS = 4
# How often a comparison may err; six to eight are made for each tensor of images.
ERROR_RATE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Interleaving:
    """Images in which values as many places apart as there are channels are the neighbours.

    ``place`` is where in the batch they lie, ``shape`` theirs; ``ratio`` the mean square difference
    of neighbouring rows over that of rows ``shape[1]`` apart, and ``samples`` how many were asked.
    """

    place: str
    shape: tuple[int, ...]
    ratio: float
    samples: int
