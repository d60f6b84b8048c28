"""Activations by name, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pytest_initcheck.errors import InitcheckError

Activation = Callable[[Tensor], Tensor]
_NAMED: dict[str, Activation] = {"tanh": torch.tanh, "relu": torch.relu, "erf": torch.erf}


def activation_of(given: str | Activation) -> Activation:
    """The function that is meant.

    Raises:
        InitcheckError: no name of one, and no function.
    """
    if isinstance(given, str) and given in _NAMED:
        return _NAMED[given]
    if isinstance(given, str) or not callable(given):
        names = ", ".join(map(repr, _NAMED))
        raise InitcheckError(f"activation: pass {names} or a function of a tensor, not {given!r}")
    return given


def derivative(function: Activation) -> Activation:
    """Its derivative, element by element."""

    def slope(values: Tensor) -> Tensor:
        with torch.enable_grad():
            points = values.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(function(points).sum(), points)
        return found

    return slope
