"""Steps a LightningModule as its trainer would, with or without automatic optimisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.optimizer_step import needs_closure
from pytest_initcheck.inputs.lightning import stand_ins
from pytest_initcheck.stepping.arguments import has_training_step
from pytest_initcheck.stepping.calling import Step, StepArguments, step_of
from pytest_initcheck.stepping.observer import StepObserver


def module_of(train_step: Any) -> Any | None:
    """The module whose ``training_step`` is to be called; None where the step is a function."""
    if has_training_step(train_step):
        return train_step
    owner = getattr(train_step, "__self__", None)
    is_hook = getattr(train_step, "__name__", "") == "training_step"
    return owner if is_hook and isinstance(owner, nn.Module) else None


def lightning_step(
    module: Any, given: StepArguments, optimizers: list[Any], watcher: StepObserver
) -> Step:
    """One step of the module.

    With ``automatic_optimization``, each optimiser zeroes, and steps on a closure that evaluates
    and differentiates what ``training_step`` returns. Without it, ``training_step`` does all that;
    a module that says neither is left alone where it has stepped or differentiated by itself.
    """
    evaluate = step_of(module.training_step, given)
    automatic = getattr(module, "automatic_optimization", None)
    _lend(module, optimizers)
    if automatic is False:
        return evaluate

    def step(index: int) -> Any:
        if automatic is None:
            return _finish(evaluate, index, optimizers, watcher)
        result: list[Any] = []
        for optimizer in optimizers:
            _automatic(evaluate, index, optimizer, result)
        return result[0] if result else None

    return step


def _automatic(evaluate: Step, index: int, optimizer: Any, result: list[Any]) -> None:
    def closure() -> Any:
        returned = evaluate(index)
        result.append(returned)
        loss = _loss(returned)
        optimizer.zero_grad()
        if loss is not None:
            loss.backward()
        return loss

    optimizer.step(closure)


def _finish(evaluate: Step, index: int, optimizers: list[Any], watcher: StepObserver) -> Any:
    """What a trainer does after a ``training_step`` that has only evaluated."""
    result = evaluate(index)
    loss, call = _loss(result), watcher.call
    if loss is None or call.uses or call.backwards or not loss.requires_grad:
        return result
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        if needs_closure(optimizer):
            _automatic(evaluate, index, optimizer, [])
        else:
            optimizer.step()
    return result


def _loss(returned: Any) -> Tensor | None:
    found = returned.get("loss") if isinstance(returned, Mapping) else returned
    return found if isinstance(found, Tensor) else None


def _lend(module: Any, optimizers: list[Any]) -> None:
    """Without a trainer, a LightningModule has no optimisers, no backward, and no log."""
    if getattr(module, "_trainer", module) is not None:
        return
    one_or_all = optimizers[0] if len(optimizers) == 1 else optimizers
    lent = stand_ins(module) | {
        "optimizers": lambda *args, **kwargs: one_or_all,
        "manual_backward": lambda loss, *args, **kwargs: torch.autograd.backward(loss),
    }
    for name, function in lent.items():
        # Past the module's own __setattr__; what keeps the module takes it away again.
        vars(module)[name] = function
