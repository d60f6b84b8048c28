"""From a running model to records: what is measured, and how it is put back."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.arrivals import arrived
from pytest_initcheck.capture.layer_records import model_record
from pytest_initcheck.capture.program import Forward, LossFunction, Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.snapshot import SnapshotTaker
from pytest_initcheck.records import ModelRecord

__all__ = ["look", "preserved"]


def look(
    model: nn.Module,
    batch: Any,
    loss_fn: LossFunction | None = None,
    forward: Forward | None = None,
    moment: str = "start",
) -> ModelRecord:
    """One forward and backward pass without a step, measured; the model's state is put back.

    Takes ``model``, ``batch``, ``loss_fn`` and ``forward`` as ``diagnose`` does; ``moment`` names
    the point in time in the record.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    validate.check_model(model)
    arrived(model)
    validate.check_batch(batch, model, None)
    with preserved(model, loss_fn, forward), torch.inference_mode(False):
        program = Program(model, batch, loss_fn, forward)
        program.materialise()
        validate.check_finite(program)
        looked = SnapshotTaker(program).take(0)
    meta = {"model": type(model).__name__, "loss": program.loss_name}
    return model_record(looked.snapshot, looked.parameters, looked.nodes, moment=moment, meta=meta)
