"""One place in which all that a user passes is put into the forms that everything else knows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from torch import nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.program import Forward, LossFunction, Optimizer
from pytest_initcheck.inputs.batches import Arranged, arranged
from pytest_initcheck.inputs.lightning import (
    TrainingStep,
    check_automatic,
    is_stepped,
    own_optimizer,
)
from pytest_initcheck.inputs.loaders import first_batch
from pytest_initcheck.inputs.losses import loss_of
from pytest_initcheck.inputs.optimizers import optimizer_of
from pytest_initcheck.inputs.signature import Takes, takes


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """What was passed, in the forms of a program.

    ``told`` says what was taken of it, ``left_out`` which parts were not.
    """

    batch: Any
    loss_fn: LossFunction | None
    optimizer: Optimizer | None
    forward: Forward | None
    told: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def adapted(
    model: Any, batch: Any, loss_fn: Any = None, optimizer: Any = None, forward: Any = None
) -> Adapted:
    """Put what a user passes into the forms of a program.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    validate.check_module(model)
    batch, source = first_batch(batch)
    loss_fn, of_loss = loss_of(loss_fn)
    forward, of_step = _step(model, loss_fn, forward)
    maker, of_optimizer = optimizer_of(optimizer)
    if optimizer is None and isinstance(forward, TrainingStep):
        maker, of_optimizer = own_optimizer(model)
    validate.check_functions(loss_fn=loss_fn, forward=forward)
    form = Arranged(batch) if forward is not None else arranged(batch, model, _loss_takes(loss_fn))
    told = (source, of_step, *form.told, of_loss, of_optimizer)
    return Adapted(
        batch=form.batch,
        loss_fn=_spread(loss_fn) if form.spread else loss_fn,
        optimizer=maker,
        forward=forward,
        told=tuple(filter(None, told)),
        left_out=form.left_out,
    )


def _step(model: Any, loss_fn: Any, forward: Any) -> tuple[Any, str]:
    if forward is not None or not is_stepped(model):
        return forward, ""
    if loss_fn is not None:
        return None, "model: its forward, since a loss_fn was passed; its training_step is not used"
    check_automatic(model)
    return TrainingStep(model), "loss: of the module's training_step"


def _loss_takes(loss_fn: Any) -> Takes | None:
    if loss_fn is None:
        return None
    function = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    is_torch = str(getattr(function, "__module__", "")).startswith("torch.")
    found = takes(function) if not is_torch else None
    return found or Takes(("input", "target"), 2, 2, takes_any_name=False)


def _spread(loss_fn: Any) -> Any:
    """The loss with its targets one after the other."""

    @functools.wraps(loss_fn, updated=())
    def spread(output: Any, targets: Any) -> Any:
        return loss_fn(output, *targets)

    return spread
