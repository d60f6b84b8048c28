"""What tells two tensors apart that differ in any bit, computed on the device."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.across import Kind
from pytest_initcheck.capture.deferred_read import Array, DeferredRead
from pytest_initcheck.ranks.dtensors import whole

Integers = np.ndarray[Any, np.dtype[np.int64]]
Words = TypeVar("Words", Tensor, Integers)

# 16 bits each, which every floating type of a device carries unharmed through a transfer.
PARTS = 4
# Half a megabyte of words at a time stays in the cache while it is mixed.
_PIECE = 1 << 16
# Multipliers of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), as signed integers.
_STEP, _FIRST, _SECOND = -7046029254386353131, -4658895280553007687, -7723592293110705685


def fingerprint(tensor: Tensor) -> Tensor | Array:
    """A hash of all bits of a tensor and their places, as four numbers below 2**16.

    Every 64 bits are mixed with a factor of their place, and the sum is taken modulo 2**64, so that
    neither the number of threads nor the order of addition matters. Two tensors that differ by
    accident agree with a chance of about 2**-64.
    """
    words = _words(tensor)
    factors = _factors(words.device)
    if words.device.type == "cpu":
        return _on_host(words.numpy(), factors.numpy())
    total = torch.zeros((), dtype=torch.int64, device=words.device)
    for piece in words.split(_PIECE):
        total = total * _STEP + _mixed(piece, factors[: piece.numel()]).sum()
    shifts = torch.arange(PARTS, device=words.device) * 16
    return (total >> shifts) & 0xFFFF


def _on_host(words: Integers, factors: Integers) -> Array:
    # The same in half of the time that torch takes for it.
    total = 0
    for start in range(0, len(words), _PIECE):
        piece = words[start : start + _PIECE]
        total = total * _STEP + int(_mixed(piece, factors[: len(piece)]).sum())
    return np.array([(total >> shift) & 0xFFFF for shift in range(0, 16 * PARTS, 16)], float)


def _mixed(words: Words, factors: Words) -> Words:
    # Products alone leave highest bits where they are, so that two changed signs would cancel in
    # the sum, and of words with few digits, such as ones and zeros, they keep little.
    mixed = words ^ factors
    mixed ^= mixed >> 32
    mixed *= factors
    mixed ^= mixed >> 29
    return mixed


@functools.cache
def _factors(device: torch.device) -> Tensor:
    # An arithmetic shift repeats the sign where splitmix64 has zeros; it mixes as well.
    values = torch.arange(1, _PIECE + 1, device=device) * _STEP
    values = (values ^ (values >> 30)) * _FIRST
    values = (values ^ (values >> 27)) * _SECOND
    return (values ^ (values >> 31)) | 1


def _words(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, eight at a time, the last ones filled up with zeros."""
    tensor = whole(tensor)
    if tensor.is_sparse:
        stored = tensor.coalesce()
        return torch.cat([_words(stored.indices()), _words(stored.values())])
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    # A single value may have any stride and still be contiguous.
    flat = tensor.resolve_neg().contiguous().as_strided((tensor.numel(),), (1,))
    octets = flat.view(torch.uint8)
    lacking = -octets.numel() % 8
    if lacking:
        octets = torch.nn.functional.pad(octets, (0, lacking))
    elif octets.storage_offset() % 8:
        octets = octets.clone()
    return octets.view(torch.int64)


def digest(parts: Sequence[float], dtype: str, shape: Sequence[int]) -> str:
    """Sixteen hexadecimal digits for a fingerprint, the dtype and the shape."""
    return combined([*(f"{int(part):04x}" for part in parts), dtype, str(tuple(shape))])


def combined(texts: Iterable[str]) -> str:
    """One digest for several texts, in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


class Fingerprints:
    """The fingerprints of several tensors, on their way through one ledger."""

    def __init__(self, tensors: Sequence[Tensor], ledger: DeferredRead, kind: Kind = "own") -> None:
        self._ledger = ledger
        self._forms = [(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for t in tensors]
        self._slots = [ledger.put(fingerprint(tensor), kind) for tensor in tensors]

    def digest(self) -> str:
        """One digest for all; the ledger has been read."""
        parts = (self._ledger[slot].tolist() for slot in self._slots)
        return combined(digest(p, *form) for p, form in zip(parts, self._forms, strict=True))
