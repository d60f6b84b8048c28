"""An optimiser in any form that is used in training, as a function that makes one."""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.optimizer_step import needs_closure
from pytest_initcheck.capture.program import Optimizer, refused
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs.signature import takes

WANTED = "pass a class, a function of the parameters, or the optimiser itself"


class Several(torch.optim.Optimizer):
    """Several optimisers that step one after the other, each on its own groups."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        for each in optimizers:
            if needs_closure(each):
                raise InitcheckError(
                    f"{type(each).__name__} evaluates the loss itself and cannot step beside "
                    "others; pass it alone"
                )
        # Parameters may be in several of them, which the base class refuses.
        self.optimizers = optimizers
        self.defaults = {}
        self.state = defaultdict(dict)
        self.param_groups = [group for each in optimizers for group in each.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all of them."""
        for each in self.optimizers:
            each.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of each."""
        for each in self.optimizers:
            each.step()


def optimizer_of(given: Any) -> tuple[Optimizer | None, str]:
    """A function that makes the optimiser that was passed, and what was made of it.

    Raises:
        InitcheckError: it is none; the message says what to pass.
    """
    if given is None:
        return None, ""
    if isinstance(given, str):
        raise InitcheckError(f"optimizer is the text {given!r}; pass optimizer={_class(given)}")
    if is_optimizer(given):
        return functools.partial(rebuilt, given), "optimizer: rebuilt from the one passed"
    if isinstance(given, (list, tuple, Mapping)):
        makers = [_maker(one) for one in found_in(given)]
        if not makers:
            raise InitcheckError(f"optimizer is an empty {type(given).__name__}; {WANTED}")
        return _joined(makers), _said(makers, schedules_in(given))
    return (given if isinstance(given, type) else _maker(given)), ""


def is_optimizer(value: Any) -> bool:
    """Whether it is an optimiser and no class or function that makes one."""
    return not isinstance(value, type) and hasattr(value, "step") and hasattr(value, "param_groups")


def found_in(given: Any) -> list[Any]:
    """The optimisers, or what makes them, in what ``configure_optimizers`` may return."""
    return [one for one in _flat(given) if not _is_schedule(one)]


def schedules_in(given: Any) -> list[str]:
    """The classes of the schedules in what ``configure_optimizers`` may return."""
    return [type(one).__name__ for one in _flat(given) if _is_schedule(one)]


def normalised(made: Any) -> Any:
    """The one optimiser in what a function returned: several are stepped one after the other."""
    if not isinstance(made, (list, tuple, Mapping)):
        return made
    parts = [one for one in found_in(made) if is_optimizer(one)]
    return Several(parts) if len(parts) > 1 else next(iter(parts), made)


def rebuilt(optimizer: Any, parameters: Any = None) -> torch.optim.Optimizer:
    """Another optimiser with the groups and settings of this one, which has not stepped yet."""
    if isinstance(optimizer, Several):
        return Several([rebuilt(each) for each in optimizer.optimizers])
    found: torch.optim.Optimizer = copy.copy(optimizer)
    kept = {k: v for k, v in vars(optimizer).items() if not callable(v) or isinstance(v, type)}
    found.__dict__ = kept | {
        "state": defaultdict(dict),
        "defaults": dict(getattr(optimizer, "defaults", {})),
        "param_groups": [_group(group) for group in optimizer.param_groups],
    }
    for name, value in vars(optimizer).items():
        if name.endswith("_hooks"):
            setattr(found, name, copy.copy(value))
    return found


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    values = {k: v.clone() if isinstance(v, Tensor) else v for k, v in group.items()}
    return {**values, "params": list(group["params"])}


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, Mapping):
        keys = ("optimizer", "lr_scheduler", "scheduler")
        held = [given[key] for key in keys if key in given]
        for value in held if held else given.values():
            yield from _flat(value)
    elif isinstance(given, (list, tuple)):
        for value in given:
            yield from _flat(value)
    elif given is not None:
        yield given


def _is_schedule(value: Any) -> bool:
    if isinstance(value, type):
        return False
    has_rates = hasattr(value, "get_last_lr") or hasattr(value, "_last_lr")
    return has_rates or (hasattr(value, "step") and not hasattr(value, "param_groups"))


def _maker(given: Any) -> Optimizer:
    if is_optimizer(given):
        return functools.partial(rebuilt, given)
    if _is_schedule(given):
        raise InitcheckError(
            f"optimizer is a {type(given).__name__}, a schedule; pass the optimiser that it "
            "changes: optimizer=schedule.optimizer"
        )
    if not callable(given):
        raise InitcheckError(f"optimizer is a {type(given).__name__}; {WANTED}")

    return functools.partial(_made, given)


def _made(function: Callable[..., Any], parameters: Any) -> Any:
    try:
        return normalised(function() if _takes_nothing(function) else function(parameters))
    except AttributeError as error:
        if "'list' object has no attribute 'parameters'" not in str(error):
            raise
        wanted = "a function of the parameters, not of the model: lambda params: Adam(params)"
        raise refused("optimizer(params)", error, wanted) from error


def _takes_nothing(function: Callable[..., Any]) -> bool:
    asked = takes(function)
    return asked is not None and asked.most == 0 and not asked.takes_any_name


def _joined(makers: list[Optimizer]) -> Optimizer:
    if len(makers) == 1:
        return makers[0]
    return lambda parameters: Several([make(parameters) for make in makers])


def _said(makers: list[Any], schedules: list[str]) -> str:
    several = f"{len(makers)} that step one after the other" if len(makers) > 1 else "the one given"
    left = f"; {', '.join(schedules)} not stepped" if schedules else ""
    return f"optimizer: {several}{left}"


def _class(name: str) -> str:
    known = {n.lower(): n for n, kind in vars(torch.optim).items() if isinstance(kind, type)}
    return f"torch.optim.{known.get(name.lower(), 'Adam')}"
