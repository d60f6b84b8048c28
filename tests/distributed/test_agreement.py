"""Replicas that differ and shards that do not are found; sound ones are not."""

from __future__ import annotations

import torch
from support.spread_models import built, ddp, fsdp, part, rows, tensor_parallel
from torch import nn
from torch.distributed.tensor import DTensor, Shard

from pytest_initcheck import diagnose
from pytest_initcheck.ranks.local_job import on_ranks


def sharding(model, batch, **options):
    found = diagnose(model, batch, **options)
    return [(f.id, f.severity, f.layers) for f in found.findings if f.check == "sharding"]


def reseeded(rank):
    """As after an initialisation that each rank did with a seed of its own."""
    model = ddp(built("mlp"))
    torch.manual_seed(rank)
    with torch.no_grad():
        model.module[2].weight.normal_(0, 0.1)
    return model


def equal_shards(way):
    """Every rank draws its own shard, all from one seed."""
    model = way(built("mlp"))
    torch.manual_seed(7)
    with torch.no_grad():
        weight = model[0].weight
        assert isinstance(weight, DTensor)
        assert weight.placements == (Shard(0),)
        weight.to_local().normal_(0, 0.4)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.zero_()
    return model


def layout():
    """Rows that are equal on purpose: the transition matrix of a state space model."""
    model = built("mlp")
    with torch.no_grad():
        model[0].weight.copy_(torch.arange(1.0, 7).log().expand(16, 6))
    return fsdp(model)


def all_of_them(rank):
    mine = part(rows(), rank, 2)
    hybrid = fsdp(nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)))
    return {
        "reseeded": sharding(reseeded(rank), mine),
        "equal shards": sharding(equal_shards(fsdp), mine),
        "equal columns": sharding(equal_shards(tensor_parallel), rows()),
        "sound": sharding(ddp(built("mlp")), mine) + sharding(fsdp(built("mlp")), mine),
        "zeros and ones": sharding(hybrid, mine),
        "layout": sharding(layout(), mine),
    }


def test_what_ranks_should_share_and_what_they_should_not():
    torch.manual_seed(0)
    found, other = on_ranks(2, all_of_them)
    assert found == other
    assert found.pop("reseeded") == [("IC118", "error", ("2",))]
    assert found.pop("equal shards") == [("IC119", "warning", ("0",))]
    assert found.pop("equal columns") == [("IC119", "warning", ("0",))]
    assert found == {"sound": [], "zeros and ones": [], "layout": []}
