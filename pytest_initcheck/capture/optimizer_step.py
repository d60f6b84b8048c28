"""One step of an optimiser on a program."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, optim

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


def take_step(optimizer: optim.Optimizer, program: Program) -> None:
    """One step; optimisers that evaluate the loss themselves, such as LBFGS, get a closure."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    needs_closure = closure is not None and closure.default is inspect.Parameter.empty

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = program.evaluate().loss
        loss.backward()
        return loss

    try:
        with torch.enable_grad():
            optimizer.step(evaluate) if needs_closure else optimizer.step()  # type: ignore[arg-type]
    except InitcheckError:
        raise
    except Exception as error:
        wanted = "an optimizer whose step works on these parameters"
        raise refused("optimizer.step()", error, wanted) from error
