"""Calls the step, as often as it takes to see two gradients used, and reads what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.checks.step_rules import MOST_SKIPS
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.stepping.calling import Step
from pytest_initcheck.stepping.observations import StepCall
from pytest_initcheck.stepping.observer import StepObserver

# A scale of a user's own may begin higher than GradScaler's.
MOST_OVERFLOWS = 33
# Steps that gather gradients over many calls, or fill a memory first, use none for a while.
MOST_QUIET = 64
# Gradients that are thrown away unused were not gathered.
MOST_DISCARDED = 8


def call_until_seen(
    step: Step, watcher: StepObserver, steps: int, after: Callable[[int], None]
) -> None:
    """Call the step at least ``steps`` times; ``after`` gets the number of calls after each."""
    while not _is_seen(watcher.calls, steps):
        watcher.begin()
        watcher.end(one_call(step, len(watcher.calls) - 1))
        after(len(watcher.calls))


def _is_seen(calls: list[StepCall], steps: int) -> bool:
    used = sum(any(use.norms for use in call.taken) for call in calls)
    return len(calls) >= (steps if used >= 2 else max(steps, _most(calls)))


def _most(calls: list[StepCall]) -> int:
    """How many calls are enough where less than two have used a gradient."""
    if any(call.skips for call in calls):
        return MOST_SKIPS
    if all(call.is_overflowing for call in calls):
        return MOST_OVERFLOWS
    uses = [use for call in calls for use in call.taken]
    is_thrown_away = any(call.is_discarding for call in calls) or any(u.cleared for u in uses)
    is_empty = bool(uses) and not any(call.backwards for call in calls)
    return MOST_DISCARDED if is_thrown_away or is_empty else MOST_QUIET


def one_call(step: Step, index: int) -> float | None:
    """Call the step once; the loss that it returns, None where it returns none.

    Raises:
        StepRaised: the step raised.
        InitcheckError: it is none.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            result = step(index)
    except Exception as error:
        raise _raised(error, index) from error
    if inspect.isgenerator(result) or inspect.iscoroutine(result):
        result.close()
        kind = "generator" if inspect.isgenerator(result) else "coroutine"
        raise InitcheckError(f"train_step returned a {kind}, of which nothing has run; pass a "
                             "plain function")  # fmt: skip
    return loss_of(result)


class StepRaised(Exception):
    """The step raised; what was seen until then may say why."""


def _raised(error: Exception, index: int) -> StepRaised:
    text = " ".join(str(error).split())[:300]
    where = f" in call {index + 1}, after those before went well" if index else ""
    return StepRaised(
        f"train_step raised {type(error).__name__}{where}: {text}; pass a step that runs on this "
        "model, optimizer and batch, several times over"
    )


def loss_of(result: Any) -> float | None:
    """The loss in what a step returns: a scalar, "loss" of a mapping, .loss, or the first item."""
    if isinstance(result, Tensor):
        is_scalar = result.numel() == 1 and not result.is_complex()
        return float(result.detach()) if is_scalar else None
    if isinstance(result, (int, float)) and not isinstance(result, bool):
        return float(result)
    if isinstance(result, (tuple, list)):
        return loss_of(result[0]) if result else None
    if isinstance(result, Mapping):
        return loss_of(result.get("loss"))
    if hasattr(result, "item") and getattr(result, "shape", None) == ():
        return loss_of(result.item())
    own = getattr(result, "loss", None)
    return loss_of(own) if isinstance(own, (Tensor, int, float)) else None
