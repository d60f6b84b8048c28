"""What no operator wrote: by NumPy, by C, by another thread or process. It shows in the values.

Memory that is made without values is filled with a mark, and of what an operator wrote a few words
are noted: what is otherwise at the end was written past torch. What lay under the mark is put back.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import deterministic as filled

Array = np.ndarray[Any, Any]
Trace = tuple[int, ...]
# Read as a number of any dtype it is small, none that anybody would choose, and no NaN.
_BYTE = 0x0B
_read, _copy, _fill = ctypes.c_uint64.from_address, ctypes.string_at, ctypes.memset
_BYTES = 8
# Memory up to so many bytes is marked whole, of more as many words: to touch all of it would give
# the machine less to share, and nothing of a table that is never used.
_WHOLE, _PLACES = 1 << 16, 128
# Of short numbers one in some ten thousand is the mark by accident.
_SHORT = 2


class Saved(NamedTuple):
    """What lay where memory of so many ``bytes`` was marked, with elements of ``length`` bytes."""

    values: bytes
    length: int
    bytes: int


def mark(tensor: Tensor, storage: torch.UntypedStorage) -> Saved | None:
    """Mark the memory of a tensor that nothing was written to; None where that cannot be done.

    Not where torch fills it itself, with NaN, so that it shows.
    """
    if torch.are_deterministic_algorithms_enabled() and _fills():
        return None
    address = _address(tensor, storage)
    size = storage.nbytes() if address else 0
    if not size:
        return None
    if size <= _WHOLE:
        values = _copy(address, size)
        _fill(address, _BYTE, size)
    else:
        words = _words(storage, size)
        values = words.tobytes()
        words[:] = _BYTE
    return Saved(values, tensor.element_size(), size)


def _fills() -> bool:
    return bool(getattr(filled, "fill_uninitialized_memory", True))


def trace_of(tensor: Tensor, storage: torch.UntypedStorage) -> Trace:
    """Words of the memory of a tensor, the first, the last and one between; none where the
    processor cannot read them."""
    address = _address(tensor, storage)
    if not address:
        return ()
    size = storage.nbytes()
    if size < _BYTES:
        return tuple(_copy(address, size))
    last = address + size - _BYTES
    return (
        _read(address).value,
        _read(address + (size - _BYTES >> 1 & -_BYTES)).value,
        _read(last).value,
    )


def changed(before: Trace, tensor: Tensor) -> float:
    """The share of the words that are others by now; 0 where there is nothing to compare."""
    now = trace_of(tensor, tensor.untyped_storage())
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


def unmarked(storage: torch.UntypedStorage, length: int, mask: Tensor | None) -> Look:
    """Which elements, of ``length`` bytes each, hold the mark no more in marked memory.

    ``mask``: to which elements operators wrote; the others are asked for, all where it is None.
    """
    size = storage.nbytes()
    held, elements, is_asked = _asked(storage, size, length, mask)
    is_written = ~(held == _BYTE).all(axis=-1)[is_asked]
    if _is_accident(is_written, size, length, mask):
        is_written[:] = True
    return Look(torch.from_numpy(elements[is_asked]), torch.from_numpy(is_written), size <= _WHOLE)


def put_back(storage: torch.UntypedStorage, saved: Saved, mask: Tensor | None) -> None:
    """Give elements that hold the mark still what they held before; ``mask`` as for `unmarked`."""
    size = storage.nbytes()
    if size != saved.bytes:
        return
    held, _, is_asked = _asked(storage, size, saved.length, mask)
    is_left = (held == _BYTE).all(axis=-1) & is_asked
    if not _is_accident(~is_left[is_asked], size, saved.length, mask):
        before = np.frombuffer(saved.values, np.uint8, held.size).reshape(held.shape)
        held[is_left] = before[is_left]


def _is_accident(is_written: Array, size: int, length: int, mask: Tensor | None) -> bool:
    """Whether what looks like the mark among what was written is so by chance."""
    length = length if mask is None else max(size // len(mask), 1)
    return length <= _SHORT and is_written.size > 0 and bool(is_written.mean() > 1 / 2)


def _asked(
    storage: torch.UntypedStorage, size: int, length: int, mask: Tensor | None
) -> tuple[Array, Array, Array]:
    """The bytes of the elements that are looked at, their numbers, and which are asked for."""
    if mask is not None:
        length = max(size // len(mask), 1)
    held, elements = _held(storage, size, length)
    is_asked = np.ones(elements.shape, dtype=bool) if mask is None else ~mask.numpy()[elements]
    return held, elements, is_asked


def _held(storage: torch.UntypedStorage, size: int, length: int) -> tuple[Array, Array]:
    """The bytes of the elements that are looked at, and their numbers, of which all bytes but the
    last axis tell."""
    if size <= _WHOLE:
        count = size // length
        return _window(storage, (count, length), (length, 1)), np.arange(count)
    step = _step(size) * _BYTES
    # What is longer than a word is told by one of its words.
    part = min(length, _BYTES)
    each = _BYTES // part
    count = _count(size)
    elements = np.arange(count)[:, None] * step // length + np.arange(each)
    return _window(storage, (count, each, part), (step, part, 1)), elements


def _address(tensor: Tensor, storage: torch.UntypedStorage) -> int:
    """0 where the memory is not the processor's, or there is none."""
    try:
        return storage.data_ptr() if tensor.is_cpu else 0
    except RuntimeError:
        # Tensors that only stand for others have none, whatever their device.
        return 0


def _words(storage: torch.UntypedStorage, size: int) -> Array:
    """The words of large memory that are marked."""
    return _window(storage, (_count(size), _BYTES), (_step(size) * _BYTES, 1))


def _window(
    storage: torch.UntypedStorage, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Array:
    """Bytes of a memory, to read and to write."""
    window = torch.empty(0, dtype=torch.uint8)
    held: Array = window.set_(storage, 0, shape, strides).numpy()
    return held


def _step(size: int) -> int:
    """From one of the words to the next: odd, so that they do not all lie in one column."""
    return size // _BYTES // _PLACES | 1


def _count(size: int) -> int:
    return -(-(size // _BYTES) // _step(size))
