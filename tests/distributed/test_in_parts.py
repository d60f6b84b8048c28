"""Measured in parts and merged: what one process measures of all samples, up to rounding."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import pytest
import torch
from corpus.attention.builders import sets
from corpus.attention.experts import WIDTH, Mixture
from support.spread_models import CASES, STEPS, built, ddp, fsdp, part, tensor_parallel

from pytest_initcheck import diagnose
from pytest_initcheck.checks.experts import Experts
from pytest_initcheck.ranks.local_job import on_ranks
from pytest_initcheck.serialization import encode

# Each rank normalises by its own samples, so that this is another model.
COUPLED = ("batch norm", "synchronised")
# The gradient of its keys' bias is zero but for rounding.
ROUNDED = ("heads",)
NAMES = [name for name in CASES if name not in (*COUPLED, *ROUNDED)]
# What says how the numbers came, and what is laid on bins of other edges.
LEFT = {"meta", "histogram", "digest", "digests", "effective_samples", "independent"}


def numbers(data, place=""):
    """Every number and text of an encoded record, by its place."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key not in LEFT:
                yield from numbers(value, f"{place}/{key}")
    elif isinstance(data, (list, tuple)):
        for at, value in enumerate(data):
            yield from numbers(value, f"{place}/{at}")
    else:
        yield place, data


def told(found):
    ids = [(finding.id, finding.severity, finding.layers) for finding in found.findings]
    records = [dict(numbers(encode(record))) for record in (found.record, found.after)]
    return found.verdict, ids, records, found.losses


def spread(size, rank):
    found = {}
    for name in NAMES:
        _, batch, options = CASES[name]
        mine = part(batch(), rank, size)
        for way, by in (("ddp", ddp), ("fsdp", fsdp)):
            found[name, way] = told(diagnose(by(built(name)), mine, unshard=False, **options))
    for name in ("mlp", "dead"):
        model = tensor_parallel(built(name))
        found[name, "tp"] = told(diagnose(model, CASES[name][1](), unshard=False, **STEPS))
    return found


def differences(mine, other, case):
    assert sorted(mine) == sorted(other), (case, sorted(mine.keys() ^ other.keys()))
    for place, value in mine.items():
        is_number = isinstance(value, float) and isinstance(other[place], float)
        if is_number and math.isclose(value, other[place], rel_tol=1e-5, abs_tol=2e-8):
            continue
        if value != other[place]:
            yield place, value, other[place]


@pytest.fixture(scope="module")
def single():
    found = {}
    for name in NAMES:
        _, batch, options = CASES[name]
        found[name] = told(diagnose(built(name), batch(), **options))
    return found


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_merged_parts_are_what_one_process_measures(single, size):
    first, *others = on_ranks(size, functools.partial(spread, size))
    assert all(other == first for other in others)
    for (name, way), (verdict, ids, records, losses) in first.items():
        expected = single[name]
        assert (verdict, ids) == expected[:2], (name, way)
        for mine, other in zip(records, expected[2], strict=True):
            assert not list(differences(mine, other, (name, way))), (name, way)
        assert losses == pytest.approx(expected[3], rel=1e-4)


ROUTERS = {"sound": (4, 0.0), "starved": (4, -100.0), "preferred": (1, 0.3)}


def routed(way, mine, **options):
    """What a mixture of experts shows, with the bias of one expert in its router."""
    found = []
    for place, value in ROUTERS.values():
        torch.manual_seed(0)
        model = Mixture(bias=True)
        with torch.no_grad():
            model.router.bias[place] = value
        one = diagnose(way(model), mine, steps=1, checks=[Experts()], **options)
        told = [(f.id, f.units, f.quantity, f.cause) for f in one.findings]
        numbers = [(f.measured, f.limit) for f in one.findings]
        found.append((one.verdict, told, one.record.experts, numbers))
    return found


def routed_sets():
    """More tokens than are looked at for what random routers do."""
    torch.manual_seed(1)
    return sets(count=64, length=20, width=WIDTH)


def routing(size, rank):
    mine = part(routed_sets(), rank, size)
    return [routed(way, mine, unshard=False) for way in (ddp, fsdp)]


def test_tokens_per_expert_are_those_of_all_ranks():
    alone = routed(lambda model: model, routed_sets())
    first, second = on_ranks(2, functools.partial(routing, 2))
    assert first == second
    assert [[told[0][:2] for _, told, *_ in alone if told]] == [[("IC309", (4,)), ("IC309", (1,))]]
    for merged in first:
        for mine, other in zip(merged, alone, strict=True):
            assert mine[:2] == other[:2]
            assert [record.counts for record in mine[2]] == [record.counts for record in other[2]]
            for ours, theirs in zip(mine[3], other[3], strict=True):
                assert ours == pytest.approx(theirs)
