"""The same diagnosis on every rank, and the one that a single process gives."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from support.spread_models import CASES, STEPS, built, ddp, fsdp, part, tensor_parallel

from pytest_initcheck import diagnose
from pytest_initcheck.ranks.local_job import on_ranks
from pytest_initcheck.serialization import encode

WAYS = {"ddp": ddp, "fsdp": fsdp}


def told(found):
    """What must be the same: the verdict, the findings, and both records but for how they came."""
    bare = [encode(replace(record, meta={})) for record in (found.record, found.after)]
    return found.verdict, [str(finding) for finding in found.findings], bare, found.losses


def alone(name):
    _, batch, options = CASES[name]
    return told(diagnose(built(name), batch(), **options))


def spread(size, rank):
    found = {}
    for name, (_, batch, options) in CASES.items():
        for way, by in WAYS.items():
            # DDP refuses it on the CPU.
            if (name, way) == ("synchronised", "ddp"):
                continue
            mine = part(batch(), rank, size)
            found[name, way] = told(diagnose(by(built(name)), mine, **options))
    for name in ("mlp", "batch norm"):
        model = tensor_parallel(built(name))
        found[name, "tp"] = told(diagnose(model, CASES[name][1](), **STEPS))
    return found


@pytest.fixture(scope="module")
def single():
    return {name: alone(name) for name in CASES}


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_all_ranks_say_what_one_process_says(single, size):
    first, *others = on_ranks(size, functools.partial(spread, size))
    assert all(other == first for other in others)
    assert {verdict for verdict, *_ in first.values()} == {"pass", "fail"}
    for (name, way), mine in first.items():
        assert mine == single[name], (name, way)
