"""One step of an optimiser on a program."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, optim

from pytest_initcheck.capture.modes import Arguments, Options
from pytest_initcheck.capture.program import Program, refused
from pytest_initcheck.errors import InitcheckError

# Each of these treats every element of a parameter by itself, so that rows do not meet.
ELEMENTWISE: tuple[type, ...] = (
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
    optim.ASGD,
    optim.Rprop,
)


def needs_closure(optimizer: Any) -> bool:
    """Whether an optimiser evaluates the loss itself, as LBFGS does."""
    return _takes_closure(getattr(optimizer.step, "__func__", optimizer.step))


@functools.lru_cache(maxsize=64)
def _takes_closure(step: Callable[..., Any]) -> bool:
    closure = inspect.signature(step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def take_step(optimizer: optim.Optimizer, program: Program) -> None:
    """One step; optimisers that evaluate the loss themselves, such as LBFGS, get a closure."""

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = program.evaluate().loss
        loss.backward()
        return loss

    try:
        with torch.enable_grad():
            optimizer.step(evaluate) if needs_closure(optimizer) else optimizer.step()  # type: ignore[arg-type]
    except InitcheckError:
        raise
    except Exception as error:
        wanted = "an optimizer whose step works on these parameters"
        raise refused("optimizer.step()", error, wanted) from error


def closure_in(args: Arguments, kwargs: Options) -> Callable[[], Any] | None:
    """The closure among what a hook of a step is given; the optimiser comes first in ``args``."""
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    return closure if callable(closure) else None


def with_closure(
    args: Arguments, kwargs: Options, closure: Callable[[], Any]
) -> tuple[Arguments, Options]:
    """The same with another closure in place of the one that is there."""
    if "closure" in kwargs:
        return args, {**kwargs, "closure": closure}
    return (args[0], closure, *args[2:]), kwargs
