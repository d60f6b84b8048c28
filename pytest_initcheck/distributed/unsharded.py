"""The model as one process would hold it: a copy with whole tensors, and nothing that talks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.buckets import at_hand
from pytest_initcheck.ranks.dtensors import class_of, is_sharded, whole

_JOB = "torch.distributed"


@dataclass(frozen=True)
class Unsharded:
    """A copy of a model with whole tensors; ``places`` has them by the number of the original."""

    model: nn.Module
    places: Mapping[int, Any]


class SyncBatchNorm(nn.SyncBatchNorm):
    """Normalises by the batch that it is given: all of it is here."""

    # Bound as it stands in the class above, which asks no other rank.
    forward = _BatchNorm.forward


def unsharded(model: nn.Module) -> Unsharded:
    """A copy of a model whose DTensors are whole, without the hooks that shard and gather.

    Ties are kept. Tensors are put together by the bucket; every rank has to call this.

    Raises:
        InitcheckError: a tensor cannot be put together.
    """
    named = (*model.named_parameters(), *model.named_buffers())
    memo: dict[int, Any] = {id(tensor): _whole(name, tensor) for name, tensor in at_hand(named)}
    return Unsharded(_copy(model, memo), memo)


def outline(model: nn.Module) -> nn.Module:
    """The same copy on the meta device: shapes without values, for which no rank is asked."""
    tensors = (*model.parameters(), *model.buffers())
    return _copy(model, {id(tensor): _outline(tensor) for tensor in tensors})


def _copy(model: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A copy of a model with the tensors that ``memo`` has for its own, to which it adds."""
    modules = list(model.modules())
    for module in modules:
        memo[id(module)] = _shell(module)
    for module in modules:
        if not isinstance(module, torch.jit.ScriptModule):
            memo[id(module)].__dict__.update(_attributes(module, memo))
    made: nn.Module = memo[id(model)]
    return made


def _outline(tensor: Tensor) -> Tensor:
    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    if not isinstance(tensor, nn.Parameter):
        return empty
    return nn.Parameter(empty, requires_grad=tensor.requires_grad)


def _whole(name: str, tensor: Tensor) -> Tensor:
    if not is_sharded(tensor):
        return copy.deepcopy(tensor)
    try:
        values = whole(tensor).clone()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        kind = type(tensor.to_local()).__name__  # type: ignore[attr-defined]
        raise InitcheckError(
            f"the shards of {name} ({kind}) cannot be put together ({error}); diagnose the model "
            "before it is quantised"
        ) from error
    if not isinstance(tensor, nn.Parameter):
        return values
    return nn.Parameter(values, requires_grad=tensor.requires_grad)


def _shell(module: nn.Module) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        return copy.deepcopy(module)
    kind = class_of(module)
    if issubclass(kind, nn.SyncBatchNorm):
        kind = SyncBatchNorm
    return kind.__new__(kind)


def _attributes(module: nn.Module, memo: dict[int, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name == "_compiled_call_impl":
            found[name] = None
        elif name.endswith("_hooks") and isinstance(value, dict):
            own = {key: hook for key, hook in value.items() if not _is_of_the_job(hook)}
            found[name] = type(value)(own)
        elif not _is_of_the_job(value) and not name.startswith("__composable_api"):
            found[name] = _copied(value, memo)
    return found


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except (TypeError, RuntimeError, AssertionError, NotImplementedError):
        # What cannot be copied, such as a lock, is shared.
        return value


def _is_of_the_job(value: Any) -> bool:
    function = getattr(value, "func", value)
    places = (getattr(function, "__module__", ""), type(value).__module__)
    return any(str(place or "").startswith((_JOB, "torch._C._distributed")) for place in places)
