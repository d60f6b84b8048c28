"""One diagnosis by all ranks that hold a model: opened as one, and told alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.program import Optimizer
from pytest_initcheck.distributed.agreement import agreement
from pytest_initcheck.distributed.batches import put_together, shares_of
from pytest_initcheck.distributed.spread import Spread, spread_of
from pytest_initcheck.distributed.unsharded import Unsharded, unsharded
from pytest_initcheck.evidence.agreement import Agreement
from pytest_initcheck.ranks.dtensors import reshard


@dataclass(frozen=True, kw_only=True)
class AsOne:
    """A model, its batch and its optimiser as one process would have them; ``told`` says what was
    made of them, ``agreement`` what the ranks hold of the model."""

    model: Any
    batch: Any
    optimizer: Optimizer | None
    told: str = ""
    agreement: Agreement | None = None


@contextmanager
def joined(model: Any) -> Iterator[Spread | None]:
    """How a model is spread; inside, an error on one rank is raised on all that hold a part."""
    spread = spread_of(model)
    if spread is None:
        yield None
        return
    with spread.ranks.joint():
        yield spread
        # Nobody leaves before all have ended well.
        spread.ranks.check()


def bare(model: Any, spread: Spread | None) -> Any:
    """The model without what spreads it, whose forward says what it takes."""
    return model if spread is None else spread.model


def as_one(model: Any, spread: Spread | None, batch: Any, optimizer: Optimizer | None) -> AsOne:
    """Put the model and the batches of all ranks together; every rank has to call this.

    What one process holds is left as it is.

    Raises:
        InitcheckError: they cannot be, or another rank failed.
    """
    if spread is None:
        return AsOne(model=model, batch=batch, optimizer=optimizer)
    reshard(spread.model)
    validate.check_model(spread.model)
    ranks = spread.ranks
    found = agreement(spread.model, spread.ranks)
    shares = shares_of(batch, ranks)
    copied = unsharded(spread.model)
    samples = sum(shares.samples)
    return AsOne(
        model=copied.model,
        batch=put_together(batch, ranks, shares),
        optimizer=None if optimizer is None else _moved(optimizer, copied),
        told=f"{ranks.size} ranks ({spread.told}), put together as one model and {samples} samples",
        agreement=found,
    )


def _moved(optimizer: Optimizer, copied: Unsharded) -> Optimizer:
    """The optimiser over the copy, also where it holds the parameters of the original."""

    def make(parameters: Any) -> torch.optim.Optimizer:
        made = optimizer(parameters)
        for group in getattr(made, "param_groups", ()):
            group["params"] = [copied.places.get(id(p), p) for p in group["params"]]
        return made

    return make
