"""The looks of a training: all of a short one, evenly spaced ones of a long one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_initcheck.watching.reading import Reading

# More of them show no more of a course, and cost memory and time.
MOST = 64


@dataclass(frozen=True, kw_only=True)
class TrainingLook:
    """What a training showed after ``step`` steps, and how far each parameter had come by then."""

    step: int
    reading: Reading
    movement: dict[str, float]


@dataclass(kw_only=True)
class Looks:
    """At most `MOST` looks from the first on, evenly spaced.

    Where there would be more, every second one is dropped, and of those to come as many: the latest
    is never older than the last thirtieth of the training.
    """

    _kept: list[TrainingLook] = field(default_factory=list)
    _stride: int = 1
    _count: int = 0

    @property
    def wants_next(self) -> bool:
        """Whether the next one is to be kept."""
        return self._count % self._stride == 0

    def skip(self) -> None:
        """Go on without the one that is not wanted."""
        self._count += 1

    def add(self, look: TrainingLook) -> None:
        """Keep the one that is wanted."""
        self._kept.append(look)
        self._count += 1
        if len(self._kept) > MOST:
            self._stride *= 2
            self._kept = self._kept[::2]

    def __iter__(self) -> Iterator[TrainingLook]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
