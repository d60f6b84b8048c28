"""What a report draws beside curves: landscapes, matrices of confusion, points by moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """An objective of one or two parameters on an even grid from ``low`` to ``high``.

    ``values`` are those of the grid, the last parameter fastest; ``size`` is the number of points
    in each direction.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    size: int
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Mistaken:
    """A sample that the trained models take for another: ``count`` of them for ``predicted``.

    ``place`` is its row in the validation data; ``pixels`` are the shades of its image, 0 to 255,
    in rows of ``width``, in base64; both are empty where a sample is no image.
    """

    place: int
    truth: int
    predicted: int
    count: int
    pixels: str = ""
    width: int = 0


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What the trained models of all seeds take the validation samples for.

    ``counts`` has a row for each class that is true, and in it a column for each that is
    predicted, one row after the other. ``mistaken`` are the samples most often mistaken.
    """

    classes: int
    counts: tuple[int, ...]
    mistaken: tuple[Mistaken, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points in the plane at one moment, such as two units on all samples after an epoch."""

    moment: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Points in the plane, moment by moment, with what the axes are called."""

    title: str
    x: str
    y: str
    moments: tuple[Points, ...]
