"""The looks of a training: all of a short one, evenly spaced ones of a long one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_initcheck.watching.reading import Reading

# A record of a large model takes about a megabyte; more of them show no more of a course.
MOST = 64


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a training showed after ``step`` steps, and how far each parameter had come by then."""

    step: int
    reading: Reading
    movement: dict[str, float]


@dataclass(kw_only=True)
class Looks:
    """The looks from the first to the latest, at most `MOST` and evenly spaced up to the latest.

    Where there would be more, every second one is dropped, and of those to come as many.
    """

    _kept: list[Look] = field(default_factory=list)
    _stride: int = 1
    _count: int = 0

    def add(self, look: Look) -> None:
        """Keep the latest look; the one before it goes where it was kept for that alone."""
        if self._count and (self._count - 1) % self._stride:
            self._kept.pop()
        self._kept.append(look)
        self._count += 1
        if len(self._kept) > MOST:
            self._stride *= 2
            halved = self._kept[::2]
            self._kept = halved if halved[-1] is look else [*halved, look]

    def __iter__(self) -> Iterator[Look]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
