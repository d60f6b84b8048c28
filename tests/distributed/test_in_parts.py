"""Measured in parts and merged: what one process measures of all samples, up to rounding."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import pytest
from support.spread_models import CASES, built, ddp, fsdp, part, tensor_parallel

from pytest_initcheck import diagnose
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
        found[name, "tp"] = told(diagnose(model, CASES[name][1](), unshard=False))
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
