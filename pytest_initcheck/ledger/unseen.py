"""What no operator wrote: by NumPy, by C, by another thread or process. It shows in the values.

Memory that is made without values is filled with a mark, and of what an operator wrote a few words
are noted: what is otherwise at the end was written past torch.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import deterministic as filled

Array = np.ndarray[Any, Any]
Trace = tuple[int, ...]
# Read as a number of any dtype it is small, none that anybody would choose, and no NaN.
_BYTE = 0x0B
_read = ctypes.c_uint64.from_address
_BYTES = 8
# Memory up to so many bytes is marked whole, of more as many words: to touch all of it would give
# the machine less to share, and nothing of a table that is never used.
_WHOLE, _PLACES = 1 << 16, 128
# Of short numbers one in some ten thousand is the mark by accident.
_SHORT = 2


def mark(tensor: Tensor) -> bool:
    """Mark the memory of a tensor that nothing was written to; whether that could be done.

    Not where torch fills it itself, with NaN, so that it shows.
    """
    is_filled = getattr(filled, "fill_uninitialized_memory", True)
    if is_filled and torch.are_deterministic_algorithms_enabled():
        return False
    address = _address(tensor)
    size = tensor.untyped_storage().nbytes() if address else 0
    if not size:
        return False
    if size <= _WHOLE:
        ctypes.memset(address, _BYTE, size)
    else:
        words = _window(tensor, (_count(size), _BYTES), (_step(size) * _BYTES, 1))
        words[:] = _BYTE
    return True


def trace_of(tensor: Tensor) -> Trace:
    """Words of the memory of a tensor, the first, the last and one between; none where the
    processor cannot read them."""
    address = _address(tensor)
    if not address:
        return ()
    size = tensor.untyped_storage().nbytes()
    if size < _BYTES:
        return tuple(ctypes.string_at(address, size))
    last = address + size - _BYTES
    return (
        _read(address).value,
        _read(address + (size - _BYTES >> 1 & -_BYTES)).value,
        _read(last).value,
    )


def changed(before: Trace, tensor: Tensor) -> float:
    """The share of the words that are others by now; 0 where there is nothing to compare."""
    now = trace_of(tensor)
    if len(now) != len(before) or not now:
        return 0.0
    return sum(a != b for a, b in zip(before, now, strict=True)) / len(now)


@dataclass(frozen=True)
class Look:
    """``elements`` of a memory by their numbers, and for each whether something wrote to it; all of
    those that were asked for where it ``is_whole``, else some."""

    elements: Tensor
    is_written: Tensor
    is_whole: bool


def unmarked(tensor: Tensor, mask: Tensor | None) -> Look:
    """Which elements hold the mark no more, in the marked memory of a tensor.

    All marks are taken away, for zeros. ``mask``: to which elements operators wrote; the others
    are asked for, all where it is None.
    """
    size, length = tensor.untyped_storage().nbytes(), tensor.element_size()
    if mask is not None:
        length = max(size // len(mask), 1)
    held, elements = _held(tensor, size, length)
    is_marked = (held == _BYTE).all(axis=-1)
    is_asked = np.ones_like(is_marked) if mask is None else ~mask.numpy()[elements]
    held[is_asked & is_marked] = 0
    is_written = ~is_marked[is_asked]
    if length <= _SHORT and is_written.mean() > 1 / 2:
        is_written[:] = True
    return Look(torch.from_numpy(elements[is_asked]), torch.from_numpy(is_written), size <= _WHOLE)


def _held(tensor: Tensor, size: int, length: int) -> tuple[Array, Array]:
    """The bytes of the elements that are looked at, and their numbers, of which all bytes but the
    last axis tell."""
    if size <= _WHOLE:
        count = size // length
        return _window(tensor, (count, length), (length, 1)), np.arange(count)
    step = _step(size) * _BYTES
    # What is longer than a word is told by one of its words.
    part = min(length, _BYTES)
    each = _BYTES // part
    count = _count(size)
    elements = np.arange(count)[:, None] * step // length + np.arange(each)
    return _window(tensor, (count, each, part), (step, part, 1)), elements


def _address(tensor: Tensor) -> int:
    """0 where the memory is not the processor's, or there is none."""
    try:
        return tensor.untyped_storage().data_ptr() if tensor.is_cpu else 0
    except RuntimeError:
        # Tensors that only stand for others have none, whatever their device.
        return 0


def _window(tensor: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Bytes of the memory of a tensor, to read and to write."""
    window = torch.empty(0, dtype=torch.uint8)
    held: Array = window.set_(tensor.untyped_storage(), 0, shape, strides).numpy()
    return held


def _step(size: int) -> int:
    """From one of the words to the next: odd, so that they do not all lie in one column."""
    return size // _BYTES // _PLACES | 1


def _count(size: int) -> int:
    return -(-(size // _BYTES) // _step(size))
