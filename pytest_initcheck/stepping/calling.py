"""How a user's step is called: by the names and the number of what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from pytest_initcheck.capture.program import copied
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.stepping.arguments import FORMS

Parameters: TypeAlias = Sequence[inspect.Parameter]
Step: TypeAlias = Callable[[int], Any]

ROLES = {
    "model": {"model", "net", "network", "module", "nn_model", "mdl"},
    "optimizer": {
        *("optimizer", "optimizers", "optimiser", "optimisers", "optim", "optims", "opt", "opts")
    },
    "batch": {"batch", "data", "sample", "samples", "minibatch", "mini_batch", "examples"},
    "scaler": {"scaler", "grad_scaler", "gradscaler", "loss_scaler"},
    "index": {
        *("batch_idx", "batch_index", "batch_id", "idx", "index", "i", "it", "iteration"),
        *("step", "step_idx", "global_step", "n"),
    },
}
_PARTS = {
    *("x", "y", "xb", "yb", "input", "inputs", "target", "targets", "image", "images", "img"),
    *("label", "labels", "feature", "features", "xs", "ys", "imgs", "src", "tgt"),
}
_REQUIRED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class StepArguments:
    """What a step may take."""

    model: nn.Module
    optimizer: Any
    batch: Any
    scaler: Any = None


def step_of(train_step: Any, given: StepArguments) -> Step:
    """A function of the call's index that calls the step on a fresh copy of the batch.

    Raises:
        InitcheckError: the step takes what is not known here.
    """
    places, names = _plan(train_step, given)

    def step(index: int) -> Any:
        batch = copied(given.batch)
        values = {
            "model": given.model,
            "optimizer": given.optimizer,
            "batch": batch,
            "scaler": given.scaler,
            "index": index,
        }
        positional: list[Any] = []
        for place in places:
            positional += batch if place == "parts" else [values[place]]
        return train_step(*positional, **{name: values[role] for name, role in names.items()})

    return step


def _plan(train_step: Any, given: StepArguments) -> tuple[list[str], dict[str, str]]:
    try:
        parameters = list(inspect.signature(train_step).parameters.values())
    except (TypeError, ValueError):
        return ["model", "optimizer", "batch"], {}
    needed = [p for p in parameters if _is_needed(p)]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    names = _named(parameters, given)
    if not needed and not names:
        if takes_any:
            return ["model", "optimizer", "batch"], {}
        optional = [p for p in parameters if p.kind in _REQUIRED]
        if not optional:
            raise InitcheckError(f"train_step takes no argument; pass {FORMS}")
        needed = optional
    return _places(needed, given), names


def _named(parameters: Parameters, given: StepArguments) -> dict[str, str]:
    """What has to be passed by name: keyword-only arguments, and a scaler that has a default."""
    found = {}
    for parameter in parameters:
        role = _role(parameter.name)
        is_keyword = parameter.kind is parameter.KEYWORD_ONLY
        if is_keyword and parameter.default is parameter.empty:
            if role is None:
                raise _unknown([parameter.name])
            found[parameter.name] = role
        elif role == "scaler" and given.scaler is not None and not _is_needed(parameter):
            found[parameter.name] = role
    return found


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.kind in _REQUIRED and parameter.default is parameter.empty


def _role(name: str) -> str | None:
    return next((role for role, names in ROLES.items() if name.lower() in names), None)


def _places(needed: Parameters, given: StepArguments) -> list[str]:
    roles = [_role(parameter.name) for parameter in needed]
    unknown = [p.name for p, role in zip(needed, roles, strict=True) if role is None]
    doubled = [role for role in roles if role is not None and roles.count(role) > 1]
    if doubled:
        raise _unknown([p.name for p in needed if _role(p.name) in doubled])
    if _is_unpacked(unknown, roles, given.batch):
        first = roles.index(None)
        return [role or "parts" for i, role in enumerate(roles) if role or i == first]
    missing = iter(_missing(unknown, roles))
    return [role or next(missing) for role in roles]


def _is_unpacked(unknown: list[str], roles: list[str | None], batch: Any) -> bool:
    """Whether the step takes the batch in its parts, one after the other."""
    if len(unknown) < 2 or "batch" in roles or not isinstance(batch, (tuple, list)):
        return False
    start = roles.index(None)
    together = all(role is None for role in roles[start : start + len(unknown)])
    are_parts = {"model", "optimizer"} <= set(roles) or all(n.lower() in _PARTS for n in unknown)
    return len(batch) == len(unknown) and together and are_parts


def _missing(unknown: list[str], roles: list[str | None]) -> list[str]:
    """The roles of arguments whose names tell nothing, by how many there are."""
    free = [role for role in ("model", "optimizer", "batch") if role not in roles]
    if len(unknown) == len(free):
        return free
    if len(unknown) == 1 and "batch" in free:
        return ["batch"]
    if len(unknown) == 2 and len(free) == 3:
        return ["model", "batch"]
    if not unknown:
        return []
    raise _unknown(unknown)


def _unknown(names: list[str]) -> InitcheckError:
    listed = ", ".join(repr(name) for name in names)
    return InitcheckError(
        f"train_step takes {listed}, and what that is cannot be told; pass {FORMS}, and bind the "
        "rest with functools.partial or a closure"
    )
