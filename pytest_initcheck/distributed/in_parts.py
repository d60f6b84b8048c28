"""A model measured as it is spread: each rank its part, merged look by look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.tensor_stats import plain
from pytest_initcheck.capture.tree import tensors_of
from pytest_initcheck.distributed.agreement import agreement
from pytest_initcheck.distributed.batches import shares_of
from pytest_initcheck.distributed.kept import kept_for_backward
from pytest_initcheck.distributed.spread import Spread
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.agreement import Agreement
from pytest_initcheck.ranks.dtensors import reshard
from pytest_initcheck.ranks.ranks import Ranks

# Weights, the copy that they are put back from, gradients, an optimiser's two moments, and as
# much again for what runs.
_COPIES = 6
# What a pass keeps, and as much for the gradients of it and what is measured of them.
_PASSES = 2
# Half of the memory is left to those who share the machine.
_SHARE = 2


@dataclass(frozen=True, kw_only=True)
class InParts:
    """A spread model that is measured as it is; ``told`` says so, and what is not asked of it."""

    model: nn.Module
    across: Across
    agreement: Agreement
    told: str


def in_parts(spread: Spread, batch: Any) -> InParts:
    """Make a spread model ready to be measured in its parts; every rank has to call this.

    Raises:
        InitcheckError: its batch is not finite, or another rank failed.
    """
    reshard(spread.model)
    validate.check_model(spread.model)
    _check_finite(batch)
    found = agreement(spread.model, spread.ranks)
    shares = shares_of(batch, spread.ranks)
    group = spread.group if spread.is_replicated else None
    across = Across(spread.ranks, shares.groups, shares.samples, group)
    return InParts(
        model=spread.model,
        across=across,
        agreement=found,
        told=f"{spread.ranks.size} ranks ({spread.told}), each measured in its part and merged; "
        "not asked: dependences, what the loss can reach, curvature",
    )


def fits_whole(spread: Spread, batch: Any, loss_fn: Any, forward: Any) -> bool:
    """Whether every rank has room for all of a model and all samples; all have to call this.

    That is so where six times its weights, and twice what a pass over the samples of all ranks
    keeps for its way back, take no more than half of the memory of the device, or of the machine,
    which its ranks share. It does not depend on what else runs.

    Raises:
        InitcheckError: the batches are not of one form.
    """
    ranks, model = spread.ranks, spread.model
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    weights = sum(t.numel() * t.element_size() for t in tensors.values())
    most = _memory(next(model.parameters()).device, ranks) / _SHARE
    fits = _COPIES * weights <= most
    times = shares_of(batch, ranks).times(ranks.rank)
    if fits:
        kept = kept_for_backward(model, batch, loss_fn, forward)
        fits = _COPIES * weights + _PASSES * times * kept <= most
    return all(said == b"1" for said in ranks.exchange(b"1" if fits else b"0"))


def _memory(device: torch.device, ranks: Ranks) -> float:
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size))
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / max(here, 1)
    except (ValueError, OSError, AttributeError):
        # A system that does not say it: what it cannot hold, it will refuse.
        return float("inf")


def _check_finite(batch: Any) -> None:
    for tensor in tensors_of(batch):
        if tensor.is_floating_point() and not bool(plain(tensor).isfinite().all()):
            raise InitcheckError(
                "the batch holds values that are NaN or infinite; what is measured in parts needs "
                "finite data"
            )
