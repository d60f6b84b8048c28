"""What training changes of a model, as plain data that another process can send."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.restore import UNCHANGING
from pytest_initcheck.training.attributes import plain_attributes
from pytest_initcheck.training.workers import tensors

Carried = tuple[list[bytes], dict[tuple[str, str], object]]
_OWN = frozenset({"_parameters", "_buffers", "_modules"})


def carried(model: nn.Module) -> Carried:
    """Parameters and buffers, and the attributes that are plain values."""
    return [bits(tensor) for tensor in tensors(model)], plain_attributes(model)


@torch.no_grad()
def bring_back(model: nn.Module, data: Carried) -> None:
    """Write into the model what `carried` took of its copy."""
    values, attributes = data
    for tensor, value in zip(tensors(model), values, strict=True):
        tensor.copy_(from_bits(value, tensor))
    modules = dict(model.named_modules())
    for (name, key), attribute in attributes.items():
        modules[name].__dict__[key] = attribute


def bits(tensor: Tensor) -> bytes:
    """The numbers of a tensor on the CPU as they are in memory, one after the other."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def from_bits(data: bytes, like: Tensor) -> Tensor:
    """The tensor of the type and shape of another that has these `bits`."""
    if not data:
        return torch.empty_like(like)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(like.dtype).reshape(like.shape)


def not_carried(model: nn.Module) -> dict[str, object]:
    """All else that a model holds and a step may change, by name, to be compared: caches, lists,
    generators of its own, tensors that are no buffers, the shapes of those that are."""
    return {
        f"{type(module).__name__}.{key}": _mark(value)
        for module in model.modules()
        for key, value in _others(module)
    }


def _others(module: nn.Module) -> Iterator[tuple[str, object]]:
    for key, value in vars(module).items():
        if key not in _OWN and type(value) not in UNCHANGING:
            yield key, value
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None:
            yield name, (str(tensor.dtype), *tensor.shape)


def held(module: nn.Module) -> dict[str, object]:
    """All that a module holds, by name, to be compared."""
    return {
        f"{type(each).__name__}.{key}": _mark(value)
        for each in module.modules()
        for key, value in vars(each).items()
        if key != "_modules"
    }


def _mark(value: Any, depth: int = 4) -> object:
    """What differs after a change: the value itself, of tensors and other objects which it is."""
    if type(value) in UNCHANGING:
        return value
    if isinstance(value, Tensor):
        return id(value), value._version
    if isinstance(value, torch.Generator):
        return bits(value.get_state())
    if isinstance(value, random.Random):
        return value.getstate()
    if hasattr(value, "bit_generator"):
        return repr(value.bit_generator.state)
    if depth and isinstance(value, dict):
        return [(_mark(key, 0), _mark(each, depth - 1)) for key, each in value.items()]
    if depth and isinstance(value, (list, tuple, set, frozenset, deque)):
        return [_mark(each, depth - 1) for each in value]
    return id(value)
