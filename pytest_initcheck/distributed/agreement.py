"""Compares what ranks hold of each parameter: replicas should be equal, shards should not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.fingerprint import Fingerprints
from pytest_initcheck.evidence.agreement import Agreement, Pair
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.ranks.dtensors import is_sharded
from pytest_initcheck.ranks.ranks import Ranks

# What DDP is told to leave alone, such as the experts that each rank has for itself.
_LEFT_ALONE = "_ddp_params_and_buffers_to_ignore"


@dataclass(frozen=True)
class _Held:
    """What a rank holds of a parameter: which part, its digest, and whether it is uniform."""

    part: str
    digest: str
    is_uniform: bool


def agreement(model: nn.Module, ranks: Ranks) -> Agreement:
    """Which parameters differ between ranks, or do not, against what should be.

    One exchange of a digest for each parameter; every rank has to call this.

    Raises:
        RankError: another rank failed.
    """
    mine = {name: asdict(held) for name, held in _held(model)}
    said = ranks.exchange(json.dumps(mine).encode())
    by_rank = dict(zip(ranks.members, map(_read, said), strict=True))
    names = [name for name in mine if all(name in held for held in by_rank.values())]
    return Agreement(
        unequal=tuple(_pairs(names, by_rank, _is_unequal)),
        repeated=tuple(_pairs(names, by_rank, _is_repeated)),
    )


def part_of(tensor: Tensor) -> tuple[str, Tensor]:
    """Which part of a tensor this process holds, "" for all of it; and the part."""
    if not is_sharded(tensor):
        return "", tensor.detach()
    held: Any = tensor.detach()
    coordinates = held.device_mesh.get_coordinate() or ()
    places = zip(coordinates, held.placements, strict=False)
    part = [str(at) for at, placement in places if not placement.is_replicate()]
    local: Tensor = held.to_local()
    return "/".join(part), local


def is_uniform(tensor: Tensor) -> bool:
    """Whether all rows, or all columns, are equal, as what was filled or laid out has them."""
    if tensor.numel() < 2:
        return True
    if tensor.dim() < 2:
        return bool((tensor == tensor[:1]).all())
    axes = range(tensor.dim())
    return any(bool((tensor == tensor.narrow(axis, 0, 1)).all()) for axis in axes)


def _held(model: nn.Module) -> Iterator[tuple[str, _Held]]:
    ignored = set(getattr(model, _LEFT_ALONE, ()))
    for name, parameter in model.named_parameters():
        if name not in ignored and not parameter.is_meta:
            part, local = part_of(parameter)
            ledger = DeferredRead()
            marks = Fingerprints([local], ledger)
            ledger.read()
            with torch.no_grad():
                yield name, _Held(part, marks.digest(), is_uniform(local))


def _read(said: bytes) -> dict[str, _Held]:
    return {name: _Held(**held) for name, held in json.loads(said).items()}


def _pairs(names: list[str], by_rank: Mapping[int, dict[str, _Held]], is_so: Any) -> Iterator[Pair]:
    """The first two ranks, for each name, between which something is so."""
    for name in names:
        for one, other in combinations(by_rank, 2):
            if is_so(by_rank[one][name], by_rank[other][name]):
                yield Pair(name, layer_of(name), (one, other))
                break


def _is_unequal(one: _Held, other: _Held) -> bool:
    return one.part == other.part and one.digest != other.digest


def _is_repeated(one: _Held, other: _Held) -> bool:
    return one.part != other.part and one.digest == other.digest and not one.is_uniform
