"""Batch normalisation with the statistics of the first pass, so that they hide no dependence."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options

# The place of the flag that asks for the statistics of the batch; None: always asked for.
_NORMS: dict[str, int | None] = {
    "native_batch_norm": 5,
    "_native_batch_norm_legit": 5,
    "_native_batch_norm_legit.no_stats": 3,
    "cudnn_batch_norm": 5,
    "miopen_batch_norm": 5,
    "_batch_norm_with_update": None,
}
_PACKETS = frozenset(name.partition(".")[0] for name in _NORMS)


def may_take_statistics(operator: str) -> bool:
    """Whether an operator, by its name, may normalise by statistics of the batch."""
    return operator in _PACKETS


class Diverged(Exception):
    """A pass took other operations than the first one."""


class Held(OperatorMode):
    """Keeps the statistics of every batch normalisation in one pass, and replays them in others."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._at = 0
        self._replays = False

    @property
    def is_needed(self) -> bool:
        """Whether the pass that is kept took statistics of its batch."""
        return bool(self._kept)

    @contextmanager
    def running(self, *, replays: bool) -> Iterator[None]:
        """Hold what runs inside; the pass that does not replay is the one that is kept."""
        self._at, self._replays = 0, replays
        if not replays:
            self._kept = []
        with self:
            yield

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        out = func(*args, **kwargs)
        if not _normalises(func) or not _takes_statistics(func, args):
            return out
        mean, scale = self._statistics(out[1], out[2])
        # The arithmetic is the same in every pass, so that rounding is, too.
        return (_normalised(args[0], mean, scale, args[1], args[2]), mean, scale, *out[3:])

    def _statistics(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        if not self._replays:
            self._kept.append((mean, scale))
        if self._at >= len(self._kept) or self._kept[self._at][0].shape != mean.shape:
            raise Diverged
        self._at += 1
        return self._kept[self._at - 1]


@functools.cache
def _normalises(func: Any) -> bool:
    return func.overloadpacket.__name__ in _PACKETS


def _takes_statistics(func: Any, args: tuple[Any, ...]) -> bool:
    packet, overload = func.overloadpacket.__name__, func._overloadname
    name = f"{packet}.{overload}" if overload == "no_stats" else packet
    if name not in _NORMS:
        return False
    place = _NORMS[name]
    # Instance normalisation is a batch normalisation of a single sample with many channels.
    return bool(args[0].shape[0] > 1 and (place is None or args[place]))


def _normalised(
    data: Tensor, mean: Tensor, scale: Tensor, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    # As where statistics that run are taken: one pass over the data, the same for each value.
    variance = scale.square().reciprocal()
    made: Tensor = torch.native_batch_norm(data, weight, bias, mean, variance, False, 0.0, 0.0)[0]
    return made
