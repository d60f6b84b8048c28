"""DTensors made whole by the bucket: what ranks hold of one travels in a single collective."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from pytest_initcheck.ranks.dtensors import at_mesh, is_sharded, keeping, local

# As much as DistributedDataParallel reduces at once (bucket_cap_mb): room for it is never short.
BUCKET = 25 * 2**20
# Torch from 2.14 on calls it by another name.
_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
Row = TypeVar("Row", bound=Sequence[Any])


def at_hand(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows of tensors, one after the other; while one is out, `whole` has all of them.

    Those of a bucket (25 MiB, but one row at least) were put together in one collective for each
    group of ranks, and are let go before the next ones. Every rank has to go through the same rows.
    """
    for bucket in buckets(rows):
        sharded = [t for row in bucket for t in row if isinstance(t, Tensor) and is_sharded(t)]
        with keeping(_gathered(sharded)):
            yield from bucket


def buckets(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in lists of 25 MiB of tensors in all, or of a single row."""
    bucket, total = list[Row](), 0
    for row in rows:
        size = sum(t.numel() * t.element_size() for t in row if isinstance(t, Tensor))
        if bucket and total + size > BUCKET:
            yield bucket
            bucket, total = [], 0
        bucket.append(row)
        total += size
    if bucket:
        yield bucket


def _gathered(tensors: Sequence[Any]) -> dict[int, tuple[Any, Tensor]]:
    """Each tensor that is cut along one axis alone, with all of it, by its id."""
    by_group: dict[str, tuple[Any, list[Any]]] = {}
    for tensor in tensors:
        axis = _cut(tensor)
        if axis is not None:
            group = tensor.device_mesh.get_group(axis)
            by_group.setdefault(group.group_name, (group, []))[1].append(tensor)
    found = dict[int, tuple[Any, Tensor]]()
    for group, members in by_group.values():
        pairs = zip(members, _together(members, group), strict=True)
        found |= {id(tensor): (tensor, values) for tensor, values in pairs}
    return found


def _cut(tensor: Any) -> int | None:
    """The axis of the mesh along which a tensor is cut; None where that is not all there is to it.

    It follows from what all ranks know alike, so that all take part in the same collectives.
    """
    from torch.distributed.tensor import Shard

    cuts = [at for at, placement in enumerate(tensor.placements) if not placement.is_replicate()]
    is_simple = len(cuts) == 1 and type(tensor.placements[cuts[0]]) is Shard
    is_plain = type(local(tensor)) is Tensor and tensor.layout == torch.strided
    return cuts[0] if is_simple and is_plain else None


def _together(tensors: Sequence[Any], group: Any) -> Iterator[Tensor]:
    """All of each tensor, from one collective."""
    size = dist.get_world_size(group)
    octets = [_octets(local(at_mesh(tensor.detach()))) for tensor in tensors]
    room = [math.prod(_shape(t, size, 0)) * t.element_size() for t in tensors]
    mine = torch.cat([_filled(part, most) for part, most in zip(octets, room, strict=True)])
    every = mine.new_empty(size * mine.numel())
    _gather(every, mine, group=group)
    columns = every.view(size, -1).split(room, dim=1)
    for tensor, parts in zip(tensors, columns, strict=True):
        yield _joined(tensor, parts, size).to(tensor.device)


def _octets(part: Tensor) -> Tensor:
    return part.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _filled(part: Tensor, most: int) -> Tensor:
    return torch.nn.functional.pad(part, (0, most - part.numel()))


def _joined(tensor: Any, parts: Tensor, size: int) -> Tensor:
    found = []
    for rank, part in enumerate(parts):
        shape = _shape(tensor, size, rank)
        used = part[: math.prod(shape) * tensor.element_size()].clone()
        found.append(used.view(tensor.dtype).reshape(shape))
    return torch.cat(found, dim=_axis(tensor))


def _axis(tensor: Any) -> int:
    dim: int = next(p.dim for p in tensor.placements if not p.is_replicate())
    return dim


def _shape(tensor: Any, size: int, rank: int) -> list[int]:
    """The shape of a rank's part: as `torch.chunk` cuts, so that the first is never smaller."""
    shape, dim = list(tensor.shape), _axis(tensor)
    most = -(-shape[dim] // size)
    shape[dim] = max(0, min(most, shape[dim] - rank * most))
    return shape
