"""Tensors of which each process holds a part: recognised, and put together."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

_PLAIN = (Tensor, nn.Parameter)
# The libraries whose operators only carry values from one process to another.
CARRIERS = frozenset({"c10d", "_c10d_functional", "_c10d_functional_autograd", "fsdp"})


# What was put together already, by the id of the tensor, which is held so that no other gets it.
_known: dict[int, tuple[Any, Tensor]] = {}


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor, of which this process holds a part."""
    if type(tensor) in _PLAIN:
        return False
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def is_fully_sharded(module: nn.Module) -> bool:
    """Whether ``fully_shard`` was applied to a module."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, fsdp.FSDPModule)


def class_of(module: nn.Module) -> type[nn.Module]:
    """The class of a module as its author named it."""
    # The class that ``fully_shard`` makes of it, and the one that it mixes in, come first.
    return type(module).__mro__[2] if is_fully_sharded(module) else type(module)


def reshard(model: nn.Module) -> None:
    """Let ``fully_shard`` give back what it has gathered, as a pass without gradients leaves it."""
    sharded: list[Any] = [module for module in model.modules() if is_fully_sharded(module)]
    for module in sharded:
        module.reshard()


@contextlib.contextmanager
def recovering(model: nn.Module) -> Iterator[None]:
    """A pass inside that breaks off leaves ``fully_shard`` as before it, ready for the next.

    Torch has a way for that from 2.14 on (``FSDPModule.reset_iter_state``); in older ones a
    sharded model in which a pass broke off has to be built anew.
    """
    try:
        yield
    except BaseException:
        for module in _outermost(model):
            if hasattr(module, "reset_iter_state"):
                module.reset_iter_state()
        raise


def _outermost(module: nn.Module) -> Iterator[Any]:
    """The modules under ``fully_shard`` that no other of them holds."""
    if is_fully_sharded(module):
        yield module
    else:
        for child in module.children():
            yield from _outermost(child)


def whole(tensor: Any) -> Tensor:
    """All of a tensor of which ranks may hold parts, detached; every rank has to call this."""
    if type(tensor) in _PLAIN:
        plain: Tensor = tensor.detach()
        return plain
    if id(tensor) in _known:
        return _known[id(tensor)][1]
    if is_sharded(tensor):
        with _kept_masks(tensor):
            found = at_mesh(tensor.detach()).full_tensor().to(tensor.device)
    else:
        found = tensor.detach()
    # What a collective is still at work on says so by its class.
    values: Tensor = found.wait() if hasattr(found, "wait") else found
    return values


@contextlib.contextmanager
def keeping(known: Mapping[int, tuple[Any, Tensor]]) -> Iterator[None]:
    """Inside, `whole` has these tensors, by their id each with all of it, at hand."""
    _known.update(known)
    try:
        yield
    finally:
        for key in known:
            del _known[key]


def at_mesh(tensor: Any) -> Any:
    """A DTensor with its part on the device of its mesh, whose collectives take nothing else.

    With CPU offload the part lies in the memory of the host.
    """
    home = tensor.device_mesh.device_type
    return tensor if tensor.device.type == home else tensor.to(home)


@contextlib.contextmanager
def _kept_masks(tensor: Any) -> Iterator[None]:
    """A lookup in a table of shards keeps its mask for who sums it up first: not for a look."""
    buffers = [getattr(placement, "mask_buffer", None) for placement in tensor.placements]
    before = [(buffer, dict(vars(buffer)), _mask(buffer)) for buffer in buffers if buffer]
    yield
    for buffer, state, mask in before:
        vars(buffer).update(state)
        buffer.data = mask


def _mask(buffer: Any) -> Any:
    return None if buffer.data is None else buffer.data.clone()


def local(tensor: Any) -> Tensor:
    """The part of a tensor that is stored in this process."""
    if type(tensor) in _PLAIN:
        held: Tensor = tensor
    else:
        held = getattr(tensor, "_local_tensor", getattr(tensor, "elem", tensor))
    return held
