"""``watch``: a context for a training of one's own, which it leaves as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.capture import validate
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ledger import Recorded, unpacked
from pytest_initcheck.watching.compiled import plain_model
from pytest_initcheck.watching.watched import Watched
from pytest_initcheck.watching.watcher import Watcher

_WATCHED: list[nn.Module] = []


@contextmanager
def watch(
    model: nn.Module | Recorded,
    optimizer: torch.optim.Optimizer,
    every: int = 50,
    *,
    scaler: Any = None,
) -> Iterator[Watched]:
    """Look at a training while it runs: at its first step and at every N-th after it.

    Nothing of the training changes, and its weights come out the same, bit for bit. Of each step
    that is looked at, layers, nonlinearities and their gradients are measured in the training's
    own passes, and the parameters with their gradients as the optimiser takes them. It measures
    and does not judge: a diagnosis does.

    Args:
        model: the module that the training calls, or what `pytest_initcheck.construction` returned
            of it; no factory. Of a compiled one the parameters are measured.
        optimizer: the optimiser that steps it, built over its parameters or some of them.
        every: from one look to the next, in steps of the optimiser, from 1 up. Default 50, which
            costs a fiftieth of the training at most where a step takes ten milliseconds or more.
        scaler: the ``torch.amp.GradScaler``, where there is one. Without it the loss and the
            gradients of activations come out as ``backward`` has them, multiplied by its scale.

    Yields:
        A `Watched`: the looks so far, and all of them afterwards.

    Raises:
        InitcheckError: wrong use; the message says what to pass.
    """
    module, _ = unpacked(model)
    _check(module, optimizer, every, scaler)
    watcher = Watcher(module, optimizer, every, scaler)
    _WATCHED.append(module)
    try:
        watcher.start()
        yield Watched(watcher)
    finally:
        watcher.stop()
        _WATCHED.remove(module)


def _check(model: Any, optimizer: Any, every: Any, scaler: Any) -> None:
    validate.check_model(model)
    validate.check_unsharded(model)
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise InitcheckError(
            "the model has lazy parameters; call it once, then build the optimiser"
        )
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InitcheckError(f"every: pass a whole number of steps of at least 1, not {every!r}")
    if scaler is not None and not hasattr(scaler, "scale"):
        kind = type(scaler).__name__
        raise InitcheckError(f"scaler is a {kind}; pass the torch.amp.GradScaler of the training")
    _check_optimizer(model, optimizer)
    _check_alone(model)


def _check_optimizer(model: nn.Module, optimizer: Any) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        raise InitcheckError(f"optimizer is a {kind}; pass the torch.optim.Optimizer itself")
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    if not any(id(parameter) in held for parameter in model.parameters()):
        raise InitcheckError(
            "optimizer holds no parameter of the model; build it over model.parameters(), after "
            "the model was moved or changed"
        )


def _check_alone(model: nn.Module) -> None:
    mine = {id(module) for module in plain_model(model).modules()}
    if any(id(module) in mine for other in _WATCHED for module in other.modules()):
        raise InitcheckError(
            "the model, or a part of it, is being watched already; leave that context first"
        )
