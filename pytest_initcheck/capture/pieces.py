"""Passes over large tensors, in pieces that stay in the cache from one operation to the next."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

PIECE = 1 << 17


def pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of one size side by side, piece by piece."""
    return zip(*(tensor.reshape(-1).split(PIECE) for tensor in tensors), strict=True)
