"""Seeds, and the order of the samples that follows from one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.sequential import Sequential

LIMIT = 2**32  # numpy's generator takes no larger seed.


def seed_list(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """The seeds: 0 to n-1 for a number n, else those given, in their order.

    Raises:
        InitcheckError: no seed, one twice, or one that is not a whole number in [0, 2**32).
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        found: tuple[int, ...] = tuple(range(seeds))
    elif isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)):
        found = tuple(seeds)
    else:
        raise InitcheckError(f"seeds: pass how many, or several whole numbers, not {seeds!r}")
    if not found:
        raise InitcheckError(f"seeds: pass at least one, not {seeds!r}")
    for seed in found:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < LIMIT:
            raise InitcheckError(f"seeds: pass whole numbers from 0 to 2**32 - 1, not {seed!r}")
    if len(set(found)) < len(found):
        raise InitcheckError(f"seeds: pass every seed once, not {list(found)}")
    return found


def planned(
    seeds: int | Iterable[int] | Sequential, question: Callable[..., Any] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All seeds that may be taken, and after how many of them ``question`` is asked.

    Raises:
        InitcheckError: no seeds, or seeds until something is known and nothing to be known.
    """
    if not isinstance(seeds, Sequential):
        chosen = seed_list(seeds)
        return chosen, (len(chosen),)
    if question is None:
        raise InitcheckError(
            "seeds: a Sequential stops where a verdict is known, and here is none; pass a number, "
            "or use the fixture, which compares with a baseline"
        )
    return tuple(range(seeds.at_most)), seeds.looks


class Order:
    """The order of the samples in every epoch: a function of the seed and nothing else.

    A generator of its own gives all models that share a seed the same batches, whatever they drew
    for their weights, so that two initialisations can be compared seed by seed.
    """

    def __init__(self, seed: int, samples: int, shuffle: bool) -> None:
        self.samples, self.shuffle = samples, shuffle
        self.generator = torch.Generator().manual_seed(seed)

    def epoch(self) -> torch.Tensor:
        """Indices of all samples, in the order of the next epoch; int64 on the CPU."""
        if not self.shuffle:
            return torch.arange(self.samples)
        return torch.randperm(self.samples, generator=self.generator)
