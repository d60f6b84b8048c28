"""One step of an optimiser on a program."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program, refused
from pytest_initcheck.errors import InitcheckError


def take_step(optimizer: torch.optim.Optimizer, program: Program) -> None:
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
