"""Refuses what cannot be stepped, before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.capture import validate
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs.optimizers import found_in

WANTED = "pass the optimiser itself, or a list of those that the step uses"
FORMS = (
    "a function of (model, optimizer, batch), (model, batch), (batch) or (batch, batch_idx), or a "
    "LightningModule"
)


def has_training_step(value: Any) -> bool:
    """Whether its class has one; a mock has everything."""
    return callable(getattr(type(value), "training_step", None))


def check_function(train_step: Any) -> None:
    """Raise an InitcheckError where ``train_step`` cannot be called as one."""
    if isinstance(train_step, nn.Module) and not has_training_step(train_step):
        raise InitcheckError(
            f"train_step is a module ({type(train_step).__name__}) without a training_step; pass "
            f"{FORMS}"
        )
    if not callable(train_step) and not has_training_step(train_step):
        raise InitcheckError(f"train_step is a {type(train_step).__name__}; pass {FORMS}")
    if isinstance(train_step, type):
        raise InitcheckError(f"train_step is the class {train_step.__name__}; pass {FORMS}")


def optimizers_of(optimizer: Any) -> list[Any]:
    """The optimisers in what was passed: one, or a list, tuple or mapping of them.

    Raises:
        InitcheckError: it is none, or holds none.
    """
    is_several = isinstance(optimizer, (list, tuple, Mapping))
    given = found_in(optimizer) if is_several else [optimizer]
    if not given:
        raise InitcheckError(f"optimizer is an empty {type(optimizer).__name__}; {WANTED}")
    for one in given:
        if isinstance(one, type) or not (hasattr(one, "step") and hasattr(one, "param_groups")):
            hint = " (built over model.parameters(), not a function that builds it)"
            raise InitcheckError(f"optimizer is {_kind(one)}; {WANTED}" + hint * callable(one))
    return given


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"a {type(value).__name__}"


def check_step_model(model: Any, optimizers: list[Any]) -> bool:
    """Whether anything at all is trainable: of the model, or of what the optimisers hold.

    Raises:
        InitcheckError: it is no model, or has no weights that could be stepped.
    """
    own = list(model.parameters()) if isinstance(model, nn.Module) else []
    if not own or any(p.requires_grad for p in own):
        validate.check_model(model)
        validate.check_unsharded(model)
    if any(is_lazy(parameter) for parameter in own):
        raise InitcheckError(
            "the model has lazy parameters, which no optimiser can hold yet; call it once on the "
            "batch, then build the optimiser"
        )
    held = [tensor for optimizer in optimizers for tensor in tensors_held(optimizer)]
    return any(tensor.requires_grad for tensor in (*own, *held))


def tensors_held(optimizer: Any) -> list[Tensor]:
    """The tensors in an optimiser's groups, as often as they are there."""
    return [
        tensor
        for group in optimizer.param_groups
        for tensor in group["params"]
        if isinstance(tensor, Tensor)
    ]


def check_numbers(steps: Any, scaler: Any) -> None:
    """Raise an InitcheckError where ``steps`` or ``scaler`` is none."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 2:
        raise InitcheckError(
            f"steps is {steps!r}; pass a whole number from 2 up: one step alone does not show what "
            "is left for the next"
        )
    if scaler is not None and not (hasattr(scaler, "step") and hasattr(scaler, "scale")):
        raise InitcheckError(
            f"scaler is a {type(scaler).__name__}; pass the torch.amp.GradScaler of the step"
        )
