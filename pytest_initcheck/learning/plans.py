"""Which optimisers are tried, in which order, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.learning_rate import rate_of, rate_text
from pytest_initcheck.errors import InitcheckError

Maker = Callable[[nn.Module], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """An optimiser and the steps that it gets; ``is_own`` marks the one that was passed.

    ``is_last``: goes on until the loss stands still.
    """

    name: str
    make: Maker
    steps: int
    is_own: bool = False
    is_last: bool = False


# Adam's step does not depend on the scale of the gradient, so that three rates, a factor of ten
# apart, cover what a hundred rates of gradient descent would. 1e-3 is its default (Kingma, Ba:
# Adam, 2015); 1e-2 gets small models off a plateau, 1e-4 suits transformers without warm-up.
_DENSE = tuple(
    (torch.optim.Adam, rate, steps) for rate, steps in ((3e-3, 60), (3e-2, 40), (3e-4, 60))
)
# Adam refuses sparse gradients.
_SPARSE = ((torch.optim.Adagrad, 1e-1, 60), (torch.optim.SGD, 1e-1, 60))
_OWN_STEPS = 100


def plans(optimizer: Any, model: nn.Module, *, is_sparse: bool) -> Iterator[FitPlan]:
    """The optimiser that was passed, if any, then others; fewer than 300 steps together."""
    if optimizer is not None:
        name = own_name(optimizer, model)
        yield FitPlan(name=name, make=own(optimizer), steps=_OWN_STEPS, is_own=True)
    for kind, rate, steps in _SPARSE if is_sparse else _DENSE:
        yield FitPlan(name=named_plan(kind, [rate]), make=_maker(kind, rate), steps=steps)


def own_name(optimizer: Any, model: nn.Module) -> str:
    """What the optimiser that was passed is called."""
    made = own(optimizer)(model)
    return named_plan(type(made), {rate_of(group) for group in made.param_groups})


def named_plan(kind: type, rates: Iterable[float]) -> str:
    """ "Adam, lr 0.001" for a class of optimisers and the rates of its groups."""
    return f"{kind.__name__}, lr {' and '.join(map(rate_text, sorted(rates)))}"


def own(optimizer: Any) -> Maker:
    """What makes the optimiser that was passed."""

    def make(model: nn.Module) -> torch.optim.Optimizer:
        try:
            return validate.make_optimizer(optimizer, model)
        except InitcheckError as error:
            if "empty parameter list" not in str(error):
                raise
        # It was given parameters of nothing: no step moves the model.
        return torch.optim.SGD(trainable(model), lr=0.0)

    return make


def _maker(kind: Any, rate: float) -> Maker:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer = kind(trainable(model), lr=rate)
        return made

    return make


def trainable(model: nn.Module) -> list[Tensor]:
    """The parameters that may be trained."""
    return [p for p in model.parameters() if p.requires_grad]
