"""How a model is spread over processes: recognised by what holds it, without a setting."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.dtensors import is_fully_sharded, is_sharded
from pytest_initcheck.ranks.ranks import Ranks, ranks_of


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A model that several ranks hold together. ``model`` is without what wraps it; ``told`` says
    in words how it is spread; ``is_replicated`` that each rank holds all of it (DDP), ``group``
    is the process group of that."""

    model: nn.Module
    ranks: Ranks
    told: str
    is_replicated: bool
    group: Any = None


def spread_of(model: Any) -> Spread | None:
    """How a model is spread; None where this process holds all of it for itself.

    Every rank that holds a part has to call this.

    Raises:
        InitcheckError: it is spread in a way that cannot be followed.
    """
    if not isinstance(model, nn.Module) or not _is_in_a_job():
        return None
    bare, wrapper = _unwrapped(model)
    _refuse_old(model)
    meshes = [tensor.device_mesh for tensor in sharded_tensors(bare)]
    if wrapper is None and not meshes:
        return None
    members = _members(wrapper, meshes)
    if len(members) < 2:
        return None
    told = " and ".join(_told(bare, wrapper, is_sharded=bool(meshes)))
    return Spread(
        model=bare,
        ranks=ranks_of(members),
        told=told,
        is_replicated=wrapper is not None,
        group=wrapper.process_group if wrapper is not None else None,
    )


def sharded_tensors(model: nn.Module) -> list[Any]:
    """The parameters and buffers that are DTensors."""
    return [t for t in (*model.parameters(), *model.buffers()) if is_sharded(t)]


def _is_in_a_job() -> bool:
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return False
    return distributed.get_world_size() > 1


def _unwrapped(model: nn.Module) -> tuple[nn.Module, Any]:
    """The model without DDP and what ``torch.compile`` puts around it, and the DDP."""
    wrapper = None
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            wrapper, model = model, model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model, wrapper


def _refuse_old(model: nn.Module) -> None:
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is not None and any(
        isinstance(module, fsdp.FullyShardedDataParallel) for module in model.modules()
    ):
        raise InitcheckError(
            "the model is wrapped by FullyShardedDataParallel, whose flat parameters have no "
            "layers; use torch.distributed.fsdp.fully_shard, or diagnose the model before"
        )


def _members(wrapper: Any, meshes: list[Any]) -> tuple[int, ...]:
    """The ranks of all groups and meshes over which a part of the model is spread."""
    groups = {frozenset(mesh.mesh.reshape(-1).tolist()) for mesh in meshes}
    if wrapper is not None:
        groups.add(frozenset(torch.distributed.get_process_group_ranks(wrapper.process_group)))
    found = frozenset[int]().union(*groups)
    if found not in groups:
        # Rows and columns of a grid: each rank would know its own row and column alone.
        found = found.union(*(_grid_of(mesh) for mesh in meshes))
    return tuple(sorted(found))


def _grid_of(mesh: Any) -> frozenset[int]:
    """The ranks of the mesh of which one is a part."""
    from torch.distributed import device_mesh

    known = getattr(mesh, "_get_root_mesh", None)
    root = known() if known else device_mesh._mesh_resources.get_root_mesh(mesh)
    return frozenset(root.mesh.reshape(-1).tolist())


def _told(bare: nn.Module, wrapper: Any, *, is_sharded: bool) -> Iterator[str]:
    if wrapper is not None:
        yield "DistributedDataParallel"
    is_fsdp = any(is_fully_sharded(module) for module in bare.modules())
    if is_fsdp:
        yield "fully_shard"
    elif is_sharded:
        yield "DTensor"
