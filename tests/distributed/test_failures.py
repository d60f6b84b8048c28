"""A rank that fails fails all, with its message, and nobody waits."""

from __future__ import annotations

import time

import torch
from support.spread_models import built, ddp, fsdp, mlp, part, rows, tensor_parallel
from torch import nn
from torch.distributed.fsdp import fully_shard

from pytest_initcheck import InitcheckError, diagnose
from pytest_initcheck.ranks.local_job import on_ranks


class Picky(nn.Module):
    """Raises on one rank alone."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.inner = rank, mlp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.rank == 1:
            raise ValueError("the second rank is out of sorts")
        out: torch.Tensor = self.inner(x)
        return out


def raised(*args, **options):
    try:
        return diagnose(*args, **options).verdict
    except InitcheckError as error:
        return str(error)


def failing(rank):
    mine = part(rows(), rank, 2)
    x, y = mine
    torch.manual_seed(0)
    return {
        "ddp": raised(ddp(Picky(rank)), mine),
        "fsdp": raised(fsdp(Picky(rank)), mine),
        "parts": raised(ddp(Picky(rank)), mine, unshard=False),
        "infinite": raised(ddp(mlp()), (x / (1 - rank), y), unshard=False),
        "shapes": raised(ddp(mlp()), (x[:, : 6 - rank], y)),
        "nothing": raised(ddp(mlp()), mine if rank == 0 else None),
        "steps": raised(ddp(mlp()), mine, steps=5 - 5 * rank),
        "sparse": raised(ddp(mlp()), (x.to_sparse(), y) if rank else mine),
        "parallel": raised(
            tensor_parallel(mlp()), rows(), loss_fn=lambda out, y: 1 / (1 - rank) * out.sum()
        ),
        "then": raised(ddp(built("mlp")), mine),
        "uneven": raised(ddp(built("mlp")), (x[: 16 - 3 * rank], y[: 16 - 3 * rank])),
    }


def test_every_rank_hears_what_one_of_them_said():
    first, second = on_ranks(2, failing)
    for case, text in [
        ("ddp", "the second rank is out of sorts"),
        ("fsdp", "the second rank is out of sorts"),
        ("parts", "the second rank is out of sorts"),
        ("infinite", "NaN or infinite"),
        ("nothing", "without data"),
        ("steps", "a whole number from 1 up"),
        ("sparse", "holds no tensors, or sparse"),
        ("parallel", "ZeroDivisionError"),
    ]:
        assert text in second[case], case
        assert text in first[case], case
        assert "rank 1 of 2 failed" in first[case], case
    assert "rank 0 has float32 [n, 6]" in first["shapes"] == second["shapes"]
    assert first["then"] == second["then"] == "pass"
    assert first["uneven"] == second["uneven"] == "pass"


class Turned(torch.autograd.Function):
    """Passes values on; ``hurts`` says whether its gradient raises."""

    @staticmethod
    def forward(ctx, x, hurts):
        ctx.hurts = hurts
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.hurts:
            raise ValueError("no way back")
        return gradient, None


class Between(nn.Module):
    """Stands between two layers, each with collectives of its own."""

    hurts = ""

    def forward(self, x):
        if self.hurts == "forward":
            raise ValueError("no way on")
        return Turned.apply(x, self.hurts == "backward")


def between(rank):
    """Failures on the second rank, between two collectives of a model that is measured in parts."""
    torch.manual_seed(0)
    place = Between()
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), place, nn.Linear(16, 3))
    fully_shard(model[0])
    fully_shard(model)
    mine, found = part(rows(), rank, 2), {}

    def loss(output, targets):
        if rank == 1:
            raise KeyError("no loss")
        return nn.functional.cross_entropy(output, targets)

    def stuck(parameters):
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        if rank == 1:
            optimizer.register_step_pre_hook(lambda *_: 1 / 0)
        return optimizer

    for hurts in ("forward", "backward"):
        place.hurts = hurts if rank == 1 else ""
        found[hurts] = raised(model, mine, unshard=False)
    place.hurts = ""
    found["loss"] = raised(model, mine, loss_fn=loss, unshard=False)
    found["step"] = raised(model, mine, optimizer=stuck, unshard=False)
    can_begin_anew = hasattr(model, "reset_iter_state")
    return found, raised(model, mine, unshard=False) if can_begin_anew else "pass"


def test_nobody_waits_in_a_collective_for_one_that_failed_before_it():
    started = time.monotonic()
    (first, then), (second, _) = on_ranks(2, between, timeout=80)
    # Each wait for another rank would take 40 seconds.
    assert time.monotonic() - started < 40
    for case, text in [
        ("forward", "no way on"),
        ("backward", "no way back"),
        ("loss", "no loss"),
        ("step", "ZeroDivisionError"),
    ]:
        assert text in second[case], case
        assert text in first[case], case
        assert "rank 1 of 2 failed" in first[case], case
    assert then == "pass"


def leaving(rank):
    lonely = raised(built("mlp"), rows()) if rank == 0 else "idle"
    model, mine = ddp(built("mlp")), part(rows(), rank, 2)
    assert raised(model, mine) == "pass"
    if rank == 1:
        return lonely, "gone"
    return lonely, raised(model, mine)


def test_who_waits_for_one_that_is_gone_is_told_and_a_model_of_one_process_asks_nobody():
    started = time.monotonic()
    (lonely, waited), (idle, _) = on_ranks(2, leaving, timeout=40)
    assert (lonely, idle) == ("pass", "idle")
    assert "waited for the others in vain" in waited
    assert time.monotonic() - started < 60
