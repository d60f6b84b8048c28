"""Look at a model before and after its training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from pytest_initcheck.capture.layer_records import model_record
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.snapshot import SnapshotTaker
from pytest_initcheck.records import ModelRecord
from pytest_initcheck.training.prepare import Prepared

LOOKED_AT = 256  # Rows of the data: enough for the histograms of a layer, cheap beside an epoch.


def look_at(
    prepared: Prepared, model: nn.Module, moment: str, movement: Mapping[str, float] | None = None
) -> ModelRecord:
    """The record of the model on the first rows of the data; the model stays as it was."""
    batch = prepared.train.rows(slice(0, LOOKED_AT))
    with preserved(model), torch.enable_grad():
        looker = SnapshotTaker(Program(model, batch, prepared.loss))
        looked = looker.take(0)
    return model_record(
        looked.snapshot,
        looked.parameters,
        looked.nodes,
        moment=moment,
        meta={},
        not_observed=looker.not_observed,
        movement=movement,
    )
