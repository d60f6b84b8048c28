"""Whether images came to their channels by a reshape: what the values of the data say of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_inputs
from pytest_initcheck.evidence.interleaving import (
    ERROR_RATE,
    FEWEST,
    MOST_CHANNELS,
    Interleaving,
)
from pytest_initcheck.statistics import is_above_zero

# So many values tell enough; few large images are asked whole.
_MOST = 1 << 20


def interleaved(batch: Any) -> tuple[Interleaving, ...]:
    """The images of a batch that were reshaped from (samples, rows, columns, channels).

    A reshape keeps the values in their order in memory. Along a row of (samples, channels, rows,
    columns) the next value of the same channel then lies as many columns on as there are channels,
    and the next row as many rows on. In images that were transposed no distance is better than
    that of neighbours. Compared by t-tests over the samples, all of which have to agree.
    """
    found = (_interleaved(place, tensor) for place, tensor in named_inputs(batch))
    return tuple(each for each in found if each is not None)


def _interleaved(place: str, tensor: Tensor) -> Interleaving | None:
    if not _is_image(tensor):
        return None
    samples, channels = tensor.shape[:2]
    asked = max(FEWEST, min(samples, _MOST // tensor[0].numel()))
    images = tensor.detach()[:asked].double()
    rows = _distances(images.transpose(-1, -2), channels)
    if not _is_dip(rows, channels):
        return None
    columns = _distances(images, channels)
    if not (_is_dip(columns, channels) or _is_above_zero(_steps_between_pixels(images))):
        return None
    near, far = rows[1].mean(), rows[channels].mean()
    return Interleaving(
        place=place, shape=tuple(tensor.shape), ratio=float(near / far), samples=asked
    )


def _is_image(tensor: Tensor) -> bool:
    if tensor.dim() != 4 or tensor.layout != torch.strided or tensor.is_complex():
        return False
    samples, channels, *sides = tensor.shape
    is_large = samples >= FEWEST and min(sides) >= 2 * channels + 2
    return is_large and 1 < channels <= MOST_CHANNELS and bool(tensor.isfinite().all())


def _distances(images: Tensor, channels: int) -> dict[int, Tensor]:
    """Per sample, the mean square difference of values so many places apart on the last axis."""

    def apart(places: int) -> Tensor:
        return (images[..., places:] - images[..., :-places]).square().mean((1, 2, 3))

    return {places: apart(places) for places in {1, channels - 1, channels, channels + 1}}


def _is_dip(distances: dict[int, Tensor], channels: int) -> bool:
    """Whether values a number of channels apart are more alike than any nearer or farther ones."""
    own = distances[channels]
    others = (distances[places] - own for places in distances if places != channels)
    return all(_is_above_zero(gap) for gap in others)


def _is_above_zero(gaps: Tensor) -> bool:
    return is_above_zero(gaps.tolist(), 1 - ERROR_RATE)


def _steps_between_pixels(images: Tensor) -> Tensor:
    """Per sample, by how much a step to what would be the next pixel is larger than one within.

    Channels that are alike, as in grey images, show no dip, but this.
    """
    steps = images.diff(dim=-1).square().flatten(1)
    places = torch.arange(images[0].numel(), device=images.device).view_as(images[0])
    # The step to a place; those to the next row are none.
    between = (places[..., 1:] % len(images[0]) == 0).flatten()
    return steps[:, between].mean(1) - steps[:, ~between].mean(1)
