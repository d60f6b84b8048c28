"""Build one model per seed and try a step, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from pytest_initcheck.capture.arrivals import arrived
from pytest_initcheck.capture.randomness import put_back, remembered, seed_all
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.experiment import Experiment
from pytest_initcheck.training.prepare import LabelledData, Prepared


def build_models(prepared: Prepared, seeds: Sequence[int]) -> list[nn.Module]:
    """One new, initialised model per seed, on the device, in training mode.

    All are built before the first is trained: a factory that hands out one model again and again
    is found while that model is still as it was.

    Raises:
        InitcheckError: the factory does not return a new model with parameters every time.
    """
    models: list[nn.Module] = []
    streams = []
    for seed in seeds:
        seed_all(seed)
        model = _make(prepared.experiment)
        _check_new(model, models)
        models.append(model)
        streams.append(list(remembered()))
    for undo, model in zip(streams, models, strict=True):
        put_back(undo)  # Weights go on with the numbers that follow those of the factory.
        _initialise(prepared, model)
    return models


def _make(experiment: Experiment) -> nn.Module:
    model = experiment.model()
    if not isinstance(model, nn.Module):
        raise InitcheckError(
            f"model: the factory returned a value of type {type(model).__name__}, "
            "it must return a torch.nn.Module"
        )
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        raise InitcheckError("model: it has lazy layers; run it once in the factory to size them")
    if not any(p.requires_grad for p in model.parameters()):
        raise InitcheckError("model: it has no parameters to train")
    return model


def _check_new(model: nn.Module, others: Sequence[nn.Module]) -> None:
    if any(model is other for other in others):
        raise InitcheckError(
            "model: the factory returned the same object twice; "
            "build a new model in it at every call"
        )
    mine = {id(p): name for name, p in model.named_parameters()}
    for other in others[:1]:
        for parameter in other.parameters():
            if id(parameter) in mine:
                shared = mine[id(parameter)]
                raise InitcheckError(
                    f"model: two models of the factory share the parameter {shared!r}; "
                    "build every part of it anew at every call"
                )


def _initialise(prepared: Prepared, model: nn.Module) -> None:
    experiment = prepared.experiment
    if experiment.dtype is not None:
        model.to(experiment.dtype)
    if experiment.initialise is not None:
        experiment.initialise(model)
    arrived(model)
    model.to(prepared.device)
    model.train()


def rehearse(prepared: Prepared, model: nn.Module) -> None:
    """Take one step on the first batch and put the model back; raise what would go wrong later.

    Raises:
        InitcheckError: forward, loss, labels, backward or optimiser do not work together.
    """
    with preserved(model):
        batch = prepared.train.rows(slice(0, prepared.experiment.batch_size))
        _try_step(prepared, model, *batch)


def _try_step(prepared: Prepared, model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    outputs = _try_forward(model, inputs)
    check_outputs(prepared, outputs)
    try:
        loss = prepared.loss(outputs, targets)
    except Exception as error:
        raise InitcheckError(
            f"loss: {prepared.loss_name} raised {describe_error(error)} for outputs of shape "
            f"{tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}"
        ) from error
    check_loss(loss)
    try:
        optimizer = prepared.experiment.optimizer(list(model.parameters()))
    except Exception as error:
        raise InitcheckError(f"optimizer: the function raised {describe_error(error)}") from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        raise InitcheckError(
            f"optimizer: the function must return an optimiser, it returned {kind}"
        )
    torch.autograd.backward(loss)
    try:
        optimizer.step()
    except Exception as error:
        kind = type(optimizer).__name__
        raise InitcheckError(
            f"optimizer: a step of {kind} raised {describe_error(error)}"
        ) from error


def _try_forward(model: nn.Module, inputs: Tensor) -> Tensor:
    try:
        outputs = model(inputs)
    except Exception as error:
        raise InitcheckError(
            f"model: its forward raised {describe_error(error)} for inputs of shape "
            f"{tuple(inputs.shape)} and type {inputs.dtype}"
        ) from error
    if not isinstance(outputs, Tensor):
        raise InitcheckError(
            f"model: its forward must return one tensor, it returned {type(outputs).__name__}; "
            "wrap the model in one that picks the tensor"
        )
    return outputs


def check_outputs(prepared: Prepared, outputs: Tensor) -> None:
    """Check that the outputs are floating and have a column for every label."""
    if not outputs.is_floating_point():
        raise InitcheckError(f"model: its outputs must be floating, they are {outputs.dtype}")
    if not prepared.classes or outputs.ndim < 2:
        return
    single = outputs.shape[1] == 1 and prepared.experiment.loss is not None
    for name, pair in _pairs(prepared):
        highest = int(pair.targets.max())
        if highest >= outputs.shape[1] and not single:
            raise InitcheckError(
                f"{name}: label {highest} is out of range: the model has {outputs.shape[1]} "
                f"outputs, so that labels go from 0 to {outputs.shape[1] - 1}"
            )


def _pairs(prepared: Prepared) -> Iterator[tuple[str, LabelledData]]:
    yield "data", prepared.train
    if prepared.validation is not None:
        yield "validation", prepared.validation


def check_loss(loss: object) -> None:
    """Check that the loss is a scalar tensor that depends on the parameters."""
    if not isinstance(loss, Tensor):
        raise InitcheckError(
            f"loss: must return a scalar tensor, it returned {type(loss).__name__}"
        )
    if loss.numel() != 1 or loss.ndim > 0:
        shape = tuple(loss.shape)
        raise InitcheckError(f"loss: must be a scalar, it has shape {shape}; take its mean")
    if not loss.requires_grad:
        raise InitcheckError("loss: does not depend on the parameters; is there a detach()?")


def describe_error(error: Exception) -> str:
    """Type and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
