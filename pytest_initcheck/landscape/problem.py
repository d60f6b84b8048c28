"""What `escape` was asked to do, checked before anything runs."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from pytest_initcheck.errors import InitcheckError

Objective = Callable[[Tensor], Tensor]
Factory = Callable[[list[Tensor]], torch.optim.Optimizer]
NoiseOn = Literal["gradient", "loss"]
SEEDS = 8


@dataclass(frozen=True, kw_only=True)
class EscapeProblem:
    """An objective, where to start on it, and how to walk; every field is valid."""

    objective: Objective
    start: Tensor
    optimizer: Factory
    steps: int
    noise: float
    noise_on: NoiseOn
    seeds: tuple[int, ...]

    @property
    def noisy(self) -> bool:
        """True when the noise reaches the parameters."""
        return self.noise > 0 and self.noise_on == "gradient"

    def value(self, w: Tensor) -> Tensor:
        """The objective at ``w`` (in the start's shape) as a tensor without dimensions.

        Raises:
            InitcheckError: the objective raises, or returns no scalar tensor.
        """
        try:
            found = self.objective(w)
        except Exception as error:
            raise InitcheckError(
                f"the objective raised {type(error).__name__}: {error}; it was called with a"
                f" tensor of shape {tuple(w.shape)} and type {w.dtype}"
            ) from error
        if not isinstance(found, Tensor):
            raise InitcheckError(
                f"the objective returned {_kind(found)}; return a tensor computed from w"
            )
        if found.numel() != 1:
            raise InitcheckError(
                f"the objective returned a tensor of shape {tuple(found.shape)}; return a scalar,"
                " one number for the whole w, for example with .sum()"
            )
        return found.reshape(())

    def noises(self, seeds: Sequence[int]) -> Tensor:
        """The noise of some seeds, seeds × (steps + 1) × start's elements; on the loss the first
        element counts."""
        size = (len(seeds), self.steps + 1, self.start.numel())
        drawn = torch.empty(size, dtype=torch.float64)
        # One generator for all: a new one takes as long as the numbers of a short walk.
        source = torch.Generator()
        for seed, rows in zip(seeds, drawn, strict=True):
            torch.randn(size[1:], generator=source.manual_seed(seed), out=rows)
        return drawn.mul_(self.noise).to(self.start)

    def new_optimizer(self, w: Tensor) -> torch.optim.Optimizer:
        """An optimiser over ``w`` alone.

        Raises:
            InitcheckError: the factory fails, or does not return an optimiser that holds ``w``.
        """
        try:
            made = self.optimizer([w])
        except Exception as error:
            raise InitcheckError(
                f"the optimizer factory raised {type(error).__name__}: {error}; pass a callable"
                " that takes a list of parameters, such as lambda p: torch.optim.SGD(p, lr=0.01)"
            ) from error
        groups = getattr(made, "param_groups", None)
        if not callable(getattr(made, "step", None)) or not isinstance(groups, list):
            raise InitcheckError(
                f"the optimizer factory returned {_kind(made)}; return a torch.optim.Optimizer"
            )
        if not any(held is w for group in groups for held in group.get("params", ())):
            raise InitcheckError(
                "the optimizer does not hold the parameter that its factory was given;"
                " pass the list on: lambda p: torch.optim.SGD(p, lr=0.01)"
            )
        return made


def pose(
    objective: Any,
    start: Any,
    optimizer: Any,
    steps: Any,
    *,
    noise: Any,
    noise_on: Any,
    seeds: Any,
) -> EscapeProblem:
    """The problem that these arguments pose.

    Raises:
        InitcheckError: an argument that cannot be used; the message says what to pass.
    """
    if not callable(objective):
        raise InitcheckError(f"objective is {_kind(objective)}; pass a function of a tensor w")
    if not callable(optimizer):
        raise InitcheckError(
            f"optimizer is {_kind(optimizer)}; pass a callable from parameters to an optimiser,"
            " such as lambda p: torch.optim.SGD(p, lr=0.01)"
        )
    if noise_on not in ("gradient", "loss"):
        raise InitcheckError(f'noise_on={noise_on!r}: pass "gradient" or "loss"')
    problem = EscapeProblem(
        objective=objective,
        start=_start(start),
        optimizer=optimizer,
        steps=_steps(steps),
        noise=_noise(noise),
        noise_on=cast(NoiseOn, noise_on),
        seeds=seeds_from(seeds),
    )
    _try_out(problem)
    return problem


def _try_out(problem: EscapeProblem) -> None:
    w = problem.start.clone().requires_grad_()
    with torch.enable_grad():
        value = problem.value(w)
    if not value.requires_grad or _unused(value, w):
        raise InitcheckError(
            "the objective does not depend on w by differentiable operations; compute it from w"
            " with torch, without .item(), .detach() or numpy"
        )


def _unused(value: Tensor, w: Tensor) -> bool:
    (gradient,) = torch.autograd.grad(value, [w], allow_unused=True)
    return gradient is None


def _start(start: Any) -> Tensor:
    given = torch.is_tensor(start)
    try:
        tensor = start.detach().clone() if given else torch.as_tensor(start)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise InitcheckError(f"start={start!r}: pass a number, numbers, or a tensor") from None
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise InitcheckError(f"start has type {tensor.dtype}; pass real numbers")
    if not tensor.is_floating_point() or not (given or hasattr(start, "dtype")):
        tensor = tensor.to(torch.get_default_dtype())
    if tensor.numel() == 0:
        raise InitcheckError("start is empty; pass at least one number")
    if not bool(torch.isfinite(tensor).all()):
        raise InitcheckError(f"start={start!r} is not finite; pass finite numbers")
    return tensor.clone().reshape(tensor.shape or (1,))


def _steps(steps: Any) -> int:
    try:
        count = operator.index(steps)
    except TypeError:
        count = -1
    if count < 0 or isinstance(steps, bool):
        raise InitcheckError(f"steps={steps!r}: pass a whole number of steps, 0 or more")
    return count


def _noise(noise: Any) -> float:
    try:
        std = math.nan if isinstance(noise, (bool, str)) else float(noise)
    except (TypeError, ValueError):
        std = math.nan
    if not 0 <= std < math.inf:
        raise InitcheckError(f"noise={noise!r}: pass the noise's standard deviation, 0 or more")
    return std


def seeds_from(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """The seeds meant by a number (that many, from 0 on) or by a collection of whole numbers.

    Raises:
        InitcheckError: none at all, one twice, or something that is no seed.
    """
    try:
        given: Iterable[int] = range(operator.index(seeds))  # type: ignore[arg-type]
    except TypeError:
        given = cast("Iterable[int]", seeds)
    try:
        found = tuple(operator.index(seed) for seed in given)
    except TypeError:
        raise InitcheckError(f"seeds={seeds!r}: pass whole numbers, such as range(8)") from None
    if not found or len(set(found)) < len(found) or min(found) < 0:
        raise InitcheckError(
            f"seeds={seeds!r}: pass at least one seed, each of them once, none negative"
        )
    return found


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
