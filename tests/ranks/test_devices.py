"""Devices of the tensors in a collective, buckets, and jobs without a backend for the CPU."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from support.spread_models import fsdp, mlp
from torch.distributed.device_mesh import DeviceMesh

from pytest_initcheck import InitcheckError
from pytest_initcheck.ranks import buckets, ranks
from pytest_initcheck.ranks.dtensors import whole
from pytest_initcheck.ranks.local_job import on_ranks


class Sent(Exception):
    """Stands for a collective that has got its tensors."""


def offloaded(rank):
    """Devices of what is gathered where parts lie on the host, and the mesh is of another device.

    The meta device stands for an accelerator, which nothing here has.
    """
    weight = next(fsdp(mlp()).parameters())
    found = []

    def note(every, mine, group):
        found.append((every.device.type, mine.device.type))
        raise Sent

    for kind in ("cpu", "meta"):
        DeviceMesh.device_type = property(lambda _, kind=kind: kind)
        buckets._gather = note
        try:
            for _ in buckets.at_hand([(weight,)]):
                raise AssertionError("it is not reached")
        except Sent:
            pass
    return found


def test_what_is_gathered_lies_on_the_device_of_the_mesh():
    assert on_ranks(2, offloaded, goes_backward=False) == [[("cpu", "cpu"), ("meta", "meta")]] * 2


def halves(rank):
    """Uneven shards of several kinds of numbers, put together alone and by the bucket."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (2,))
    generator = torch.Generator().manual_seed(0)
    plain = [
        torch.randn(5, 3, generator=generator),
        torch.randn(3, 7, generator=generator).to(torch.bfloat16),
        torch.randn(1, 2, generator=generator, dtype=torch.float64),
        torch.arange(9) % 2 == 0,
        torch.randn(4, generator=generator).to(torch.complex64),
        torch.tensor(3.0),
    ]
    kinds = [Shard(0), Shard(1), Shard(0), Shard(0), Shard(0), Replicate()]
    spread = [distribute_tensor(t, mesh, [kind]) for t, kind in zip(plain, kinds, strict=True)]
    alone = all(torch.equal(whole(one), t) for one, t in zip(spread, plain, strict=True))
    rows = buckets.at_hand([(t, None) for t in spread])
    together = [whole(one) for one, _ in rows]
    return alone, all(torch.equal(a, b) for a, b in zip(together, plain, strict=True))


def test_uneven_shards_of_any_numbers_are_put_together_bit_for_bit():
    assert on_ranks(2, halves, goes_backward=False) == [(True, True)] * 2


def test_buckets_end_where_they_are_full(monkeypatch):
    monkeypatch.setattr(buckets, "BUCKET", 100)
    rows = [("a", torch.zeros(10)), ("b", torch.zeros(15)), ("c", None), ("d", torch.zeros(99))]
    assert ["".join(name for name, _ in bucket) for bucket in buckets.buckets(rows)] == ["abc", "d"]
    assert list(buckets.buckets([])) == []


def test_a_job_that_has_no_backend_for_the_cpu_says_how_long_it_waits(monkeypatch):
    options = SimpleNamespace(_timeout=timedelta(seconds=90))
    backends = {"cuda": SimpleNamespace(options=options)}

    def of(device):
        if device not in backends:
            raise RuntimeError("no backend type associated with device type cpu")
        return backends[device]

    job = SimpleNamespace(_device_types=["cpu", "cuda"], _get_backend=of)
    monkeypatch.setattr(ranks, "dist", SimpleNamespace(group=SimpleNamespace(WORLD=job)))
    assert ranks._patience() == timedelta(seconds=90)
    backends.clear()
    assert ranks._patience() is None


def test_torch_without_gloo_is_refused(monkeypatch):
    monkeypatch.setattr(dist, "is_gloo_available", lambda: False)
    with pytest.raises(InitcheckError, match="by gloo, which this build of torch lacks"):
        ranks.Ranks((0, 1))
