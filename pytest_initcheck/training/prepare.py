"""Turn an experiment's data into checked tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_initcheck.capture.device import resolve_device
from pytest_initcheck.capture.written import function_name
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.experiment import Experiment, Loss


@dataclass(frozen=True)
class LabelledData:
    """Inputs and targets, one sample per row."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """The samples at these places."""
        if isinstance(index, slice):
            return self.inputs[index], self.targets[index]
        return self.inputs.index_select(0, index), self.targets.index_select(0, index)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with its data ready: what both training loops work on."""

    experiment: Experiment
    device: torch.device
    train: LabelledData
    validation: LabelledData | None
    loss: Loss
    loss_name: str

    @property
    def classes(self) -> bool:
        """Whether the targets are class indices."""
        return not self.train.targets.is_floating_point()

    @property
    def steps(self) -> int:
        """Optimisation steps per epoch."""
        size = self.experiment.batch_size
        return len(self.train) // size if self.experiment.drop_last else -(-len(self.train) // size)


def prepare(experiment: Experiment, device: str | torch.device | None = None) -> Prepared:
    """Check the data and bring them to the device (None: the CPU; "auto": CUDA where there is one).

    Raises:
        InitcheckError: data that cannot be trained on, or a device that is not there.
    """
    if not isinstance(experiment, Experiment):
        raise InitcheckError(f"pass an Experiment, not a value of type {type(experiment).__name__}")
    place = resolve_device("cpu" if device is None else device)
    train = _pair("data", experiment.data, experiment.dtype, place)
    if experiment.drop_last and experiment.batch_size > len(train):
        raise InitcheckError(
            f"batch_size {experiment.batch_size} is larger than the {len(train)} samples and "
            "drop_last leaves no batch; pass a smaller batch_size or drop_last=False"
        )
    validation = None
    if experiment.validation is not None:
        validation = _pair("validation", experiment.validation, experiment.dtype, place)
        _check_alike(train, validation)
    loss, name = _loss(experiment, train)
    return Prepared(
        experiment=experiment,
        device=place,
        train=train,
        validation=validation,
        loss=loss,
        loss_name=name,
    )


def shortened(prepared: Prepared, batches: int) -> Prepared:
    """One epoch of the first few batches, for a trial."""
    cut = slice(0, batches * prepared.experiment.batch_size)
    train = LabelledData(*prepared.train.rows(cut))
    experiment = replace(prepared.experiment, epochs=1)
    return replace(prepared, experiment=experiment, train=train, validation=None)


def _loss(experiment: Experiment, train: LabelledData) -> tuple[Loss, str]:
    if experiment.loss is not None:
        loss = experiment.loss
        return loss, function_name(loss)
    if train.targets.is_floating_point():
        return F.mse_loss, "mse_loss"
    return F.cross_entropy, "cross_entropy"


def _pair(name: str, data: Any, dtype: torch.dtype | None, device: torch.device) -> LabelledData:
    data = getattr(data, "tensors", data)
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise InitcheckError(
            f"{name}: pass (inputs, targets), two tensors or arrays with one sample per row, "
            f"not a value of type {type(data).__name__}"
        )
    inputs = _tensor(f"{name} inputs", data[0], dtype, device)
    targets = _tensor(f"{name} targets", data[1], dtype, device)
    if len(inputs) != len(targets):
        raise InitcheckError(
            f"{name}: {len(inputs)} inputs and {len(targets)} targets; pass as many"
        )
    if not targets.is_floating_point():
        targets = targets.long()
        if (lowest := int(targets.min())) < 0:
            raise InitcheckError(f"{name}: labels go from 0 to C - 1, found {lowest}")
    return LabelledData(inputs, targets)


def _tensor(name: str, value: Any, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InitcheckError(f"{name}: pass a tensor or an array: {error}") from None
    if tensor.ndim == 0 or tensor.numel() == 0:
        shape = tuple(tensor.shape)
        raise InitcheckError(f"{name}: empty, of shape {shape}; pass at least one sample")
    if tensor.is_floating_point():
        if bad := int((~tensor.isfinite()).sum()):
            share = f"{bad} of {tensor.numel()} values are NaN or infinite"
            raise InitcheckError(f"{name}: {share}; clean the data first")
        tensor = tensor.to(dtype or tensor.dtype)
    return tensor.detach().to(device)


def _check_alike(train: LabelledData, validation: LabelledData) -> None:
    for role in ("inputs", "targets"):
        mine, theirs = getattr(train, role), getattr(validation, role)
        if mine.shape[1:] != theirs.shape[1:] or mine.dtype != theirs.dtype:
            raise InitcheckError(
                f"validation {role}: samples of shape {tuple(theirs.shape[1:])} and type "
                f"{theirs.dtype}, where those of data have {tuple(mine.shape[1:])} and {mine.dtype}"
            )
