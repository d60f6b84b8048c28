"""A model made ready to be evaluated: checked, on its device, in training mode, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.arrivals import arrived
from pytest_initcheck.capture.device import resolve_device
from pytest_initcheck.capture.program import Program, moved
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError


@contextmanager
def opened(model: Any, batch: Any, loss_fn: Any, forward: Any, device: Any) -> Iterator[Program]:
    """The program of a model on a batch; everything is put back on leaving.

    Lazy parameters are not materialised yet.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    validate.check_model(model)
    arrived(model)
    target = None if device is None else resolve_device(device)
    validate.check_batch(batch, model, target)
    validate.check_functions(loss_fn=loss_fn, forward=forward)
    if forward is not None and loss_fn is not None:
        raise InitcheckError("loss_fn and forward were both passed; pass one of them")
    with (
        preserved(model, loss_fn, forward),
        _uncached_casts(),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        if target is not None:
            model.to(target)
            batch = moved(batch, target)
        if not model.training:
            model.train()
        program = Program(model, batch, loss_fn, forward)
        validate.check_finite(program)
        yield program


@contextmanager
def _uncached_casts() -> Iterator[None]:
    """Inside an outer autocast, cast the weights anew: what it keeps is older than the steps."""
    before = torch.is_autocast_cache_enabled()
    is_casting = any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))
    torch.set_autocast_cache_enabled(before and not is_casting)
    if is_casting:
        torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
        if is_casting:
            torch.clear_autocast_cache()
