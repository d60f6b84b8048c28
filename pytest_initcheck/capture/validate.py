"""Refuses what cannot be diagnosed, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.capture.program import Program, refused, tensors_of
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.tensor_stats import plain
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.dtensors import is_sharded

_FACTORY = "call the factory and pass the model, or what construction(factory) returned"


def check_module(model: Any) -> None:
    """Raise an InitcheckError where ``model`` is no module."""
    if isinstance(model, nn.Module):
        return
    if type(model).__module__.startswith("torch.distributed.pipelining"):
        raise InitcheckError(
            f"model is a {type(model).__name__}: a stage of a pipeline computes on what the stage "
            "before sends; diagnose the whole model before it is split, or each stage's own module "
            "in order, with what the one before gives as its batch, and compare their starts by "
            "assert_same_start(factory, 'stages')"
        )
    kind = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    hint = _FACTORY if callable(model) else "pass an nn.Module"
    if isinstance(getattr(model, "model", None), nn.Module):
        hint = "pass its .model"
    raise InitcheckError(f"model is {kind}, not an nn.Module; {hint}")


def check_model(model: Any) -> None:
    """Raise an InitcheckError that says what to pass where ``model`` cannot be trained."""
    check_module(model)
    parameters = list(model.parameters())
    if not parameters and any("quantized" in type(m).__module__ for m in model.modules()):
        raise InitcheckError(
            "the model is quantised: its weights take no gradient; diagnose it before quantisation"
        )
    if not parameters:
        raise InitcheckError("the model has no parameters; pass a model that can be trained")
    if any(p.is_meta for p in parameters if not is_lazy(p)):
        raise InitcheckError(
            "the model has parameters on the meta device, which hold no values; materialise and "
            "initialise them first, for example with model.to_empty(device='cpu')"
        )
    if any(p.is_inference() for p in parameters if not is_lazy(p)):
        raise InitcheckError(
            "the model has Inference tensors as parameters, which take no gradient; make it "
            "outside of torch.inference_mode(), or pass copy.deepcopy(model)"
        )
    if not any(p.requires_grad for p in parameters):
        raise InitcheckError(
            "every parameter is frozen (requires_grad=False); leave some parameter trainable"
        )


def check_unsharded(model: nn.Module) -> None:
    """Raise an InitcheckError where ranks hold parts of the model, for what looks at all of it."""
    if any(is_sharded(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise InitcheckError(
            "the model is sharded over several ranks; diagnose, learns and critical_point take it "
            "as it is, this takes the model before it is sharded"
        )


@contextmanager
def thawed(model: Any) -> Iterator[bool]:
    """Inside, a model whose every parameter is frozen is not; whether it was. It is put back.

    What was measured so says how the model would start; that it is frozen is a finding.
    """
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    usable = [p for p in parameters if p.is_floating_point() or p.is_complex()]
    is_frozen = bool(usable) and not any(p.requires_grad for p in parameters)
    try:
        for parameter in usable if is_frozen else ():
            parameter.requires_grad_(True)
        yield is_frozen
    finally:
        for parameter in usable if is_frozen else ():
            parameter.requires_grad_(False)


def check_batch(batch: Any, model: nn.Module, device: torch.device | None) -> None:
    """Raise an InitcheckError where a batch is empty or on another device."""
    tensors = tensors_of(batch)
    if device is None:
        _check_device(tensors, next(model.parameters()))
    if any(tensor.is_meta for tensor in tensors):
        raise InitcheckError("the batch is on the meta device, which holds no values; pass data")
    if any(tensor.dim() and tensor.shape[0] == 0 for tensor in tensors[:1]):
        raise InitcheckError("the batch is empty; pass at least one sample, better 32 or more")


def check_finite(program: Program) -> None:
    """Raise an InitcheckError where the batch is not finite, and that reaches what is trained.

    Labels that are missing, and places that a program masks away, may be NaN: they are data like
    others where the loss and every gradient are finite.
    """
    for tensor in tensors_of(program.batch):
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        count = int((~_values(tensor).isfinite()).sum())
        if not count:
            continue
        if _is_masked(program):
            return
        raise InitcheckError(
            f"the batch holds {count} values that are NaN or infinite in a tensor of shape "
            f"{tuple(tensor.shape)}; pass finite data"
        )


def _is_masked(program: Program) -> bool:
    """Whether the loss and every gradient are finite; what was run is put back."""
    with preserved(program.model, program.loss_fn, program.forward), torch.enable_grad():
        try:
            program.materialise()
            parameters = [p for p in program.model.parameters() if p.requires_grad]
            loss = program.evaluate().loss
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
        except Exception:
            # What is said of the data is said first.
            return False
    made = [loss, *(gradient for gradient in found if gradient is not None)]
    return all(bool(_values(tensor).isfinite().all()) for tensor in made)


def _values(tensor: Tensor) -> Tensor:
    values: Tensor = tensor.values() if tensor.is_nested else plain(tensor)
    return values


def check_functions(**functions: Any) -> None:
    """Raise an InitcheckError where one of the arguments is neither None nor callable."""
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise InitcheckError(f"{name} is a {type(function).__name__}; pass a function")


def _check_device(tensors: list[Tensor], parameter: Tensor) -> None:
    for tensor in tensors:
        if tensor.device != parameter.device and tensor.dim():
            raise InitcheckError(
                f"the batch is on {tensor.device} but the model on {parameter.device}; pass both "
                f"on one device, or device={str(parameter.device)!r} to have them moved"
            )


def check_steps(steps: Any) -> None:
    """Raise an InitcheckError where the number of steps is no whole number from 1 up."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InitcheckError(f"steps is {steps!r}; pass a whole number from 1 up")


def make_optimizer(optimizer: Any, model: nn.Module) -> torch.optim.Optimizer:
    """The user's optimiser over the trainable parameters; SGD with lr 1e-2 where none is given."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if optimizer is None:
        return torch.optim.SGD(trainable, lr=1e-2)
    if isinstance(optimizer, torch.optim.Optimizer) or not callable(optimizer):
        raise InitcheckError(
            f"optimizer is a {type(optimizer).__name__}; pass a function of the parameters, such "
            "as optimizer=lambda params: torch.optim.Adam(params, lr=1e-3)"
        )
    try:
        made: torch.optim.Optimizer = optimizer(trainable)
    except Exception as error:
        wanted = "a function of the parameters that returns a torch.optim.Optimizer"
        raise refused("optimizer(params)", error, wanted) from error
    if not hasattr(made, "step") or not hasattr(made, "param_groups"):
        raise InitcheckError(
            f"optimizer(params) returned a {type(made).__name__}; return a torch.optim.Optimizer"
        )
    return made
