"""What to train: a model factory, data, loss, optimiser, epochs and batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.errors import InitcheckError

Factory = Callable[[], nn.Module]
Loss = Callable[[Tensor, Tensor], Tensor]
OptimizerFactory = Callable[[Any], torch.optim.Optimizer]
Measure = Callable[[nn.Module, str], Mapping[str, float]]


def adam(params: Any) -> torch.optim.Optimizer:
    """The optimiser of an experiment that names none: Adam with lr 1e-3."""
    return torch.optim.Adam(params, lr=1e-3)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One training, described so that it can be repeated for any seed.

    Args:
        model: factory that returns a new model at every call.
        data: ``(inputs, targets)``, tensors or arrays with one sample per row. Integer targets
            are classes, 0 to C-1, and give accuracies.
        loss: ``loss(outputs, targets)`` -> scalar tensor. None: cross-entropy for integer
            targets, mean squared error for floating ones.
        optimizer: ``optimizer(params)`` -> a new optimiser. Default: Adam with lr 1e-3.
        epochs: passes over the data, at least 1.
        batch_size: samples per step, at least 1.
        shuffle: draw a new order for every epoch, from the seed alone.
        drop_last: leave out a last batch that is smaller.
        validation: ``(inputs, targets)`` to measure on after every epoch.
        initialise: called with every new model; draws its weights in place.
        measure: ``measure(model, moment)`` -> metrics of your own, called with moment
            "before" and "after"; the metric "x" is recorded as "x before" and "x after".
        dtype: floating type for the model, the inputs and floating targets; None keeps them.

    Raises:
        InitcheckError: an argument that cannot work; the message says what to pass.
    """

    model: Factory = field(kw_only=False)
    data: Any = field(kw_only=False)
    loss: Loss | None = None
    optimizer: OptimizerFactory = adam
    epochs: int = 1
    batch_size: int = 32
    shuffle: bool = True
    drop_last: bool = False
    validation: Any = None
    initialise: Callable[[nn.Module], Any] | None = None
    measure: Measure | None = None
    dtype: torch.dtype | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _check_count(name, getattr(self, name))
        _check_model(self.model)
        _check_loss(self.loss)
        _check_optimizer(self.optimizer)
        for name in ("initialise", "measure"):
            if (value := getattr(self, name)) is not None and not callable(value):
                raise InitcheckError(f"{name}: pass a function of the model, not {value!r}")
        if self.dtype is not None and not _is_floating(self.dtype):
            raise InitcheckError(
                f"dtype: pass a floating type such as torch.float64, not {self.dtype}"
            )


def _is_floating(dtype: object) -> bool:
    return isinstance(dtype, torch.dtype) and dtype.is_floating_point


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InitcheckError(f"{name}: pass a whole number of at least 1, not {value!r}")


def _check_model(model: object) -> None:
    if isinstance(model, nn.Module):
        raise InitcheckError(
            "model: pass a function that returns a new model for every seed "
            f"(such as lambda: {type(model).__name__}(...)), not a model"
        )
    if not callable(model):
        raise InitcheckError(f"model: pass a function that returns a new model, not {model!r}")


def _check_loss(loss: object) -> None:
    if isinstance(loss, type):
        raise InitcheckError(f"loss: pass {loss.__name__}(), not the class {loss.__name__}")
    if loss is not None and not callable(loss):
        raise InitcheckError(f"loss: pass a function loss(outputs, targets), not {loss!r}")


def _check_optimizer(optimizer: object) -> None:
    if isinstance(optimizer, torch.optim.Optimizer) or not callable(optimizer):
        raise InitcheckError(
            "optimizer: pass a function that makes one, such as "
            f"lambda params: torch.optim.SGD(params, lr=0.1), not {_short(optimizer)}"
        )


def _short(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"a value of type {type(value).__name__}"
