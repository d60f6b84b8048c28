"""The rivals, one file each: its commands, and which causes its words name.

A new rival is a new file in this folder with a ``RIVAL``; nothing else has to be changed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from rivals_problem import Problem
from torch import Tensor

OWN = "pytest-initcheck"


class Flag(NamedTuple):
    """One thing that a tool said: its rule, "fail" or "warn", its words."""

    rule: str
    level: str
    text: str


# Given a problem (pytest-initcheck: the start itself); returns what was flagged.
Command = Callable[[Any], list[Flag]]

# A pattern that "rule: text" must match, and the causes that such a finding names.
Words = Sequence[tuple[str, set[str]]]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A tool by the name that a package index knows it by; ``words`` None: it tells our ids."""

    name: str
    commands: dict[str, Command]
    words: Words | None = None


@functools.cache
def rivals() -> dict[str, Rival]:
    """All of them by name, this package's own first; found by looking into this folder."""
    modules = [
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    ]
    found = [module.RIVAL for module in modules]
    return {one.name: one for one in sorted(found, key=lambda one: (one.name != OWN, one.name))}


def module_of(name: str) -> str:
    """The name of the file, without its ending, that holds a rival."""
    return name.replace("-", "_") if name != OWN else "own"


# Steps of training for the tools that watch one; as many as pytest-initcheck takes by default.
STEPS = 5


def trained(problem: Problem, steps: int = STEPS) -> Iterator[tuple[float, float]]:
    """Plain training on the batch: loss and learning rate between backward and the step."""
    optimizer = problem.made_or_adam()
    for _ in range(steps):
        yield evaluated(problem, optimizer).item(), optimizer.param_groups[0]["lr"]
        stepped(problem, optimizer)


def evaluated(problem: Problem, optimizer: torch.optim.Optimizer) -> Tensor:
    """The loss, with its gradients."""
    optimizer.zero_grad()
    loss = problem.loss(problem.output())
    loss.backward()
    return loss


def stepped(problem: Problem, optimizer: torch.optim.Optimizer) -> None:
    """A step; LBFGS evaluates the loss itself."""
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step(lambda: evaluated(problem, optimizer))
    else:
        optimizer.step()


def printed(command: Callable[..., Any], *arguments: Any) -> tuple[Any, list[str]]:
    """What a command returns, and the bullets that it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = command(*arguments)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    return result, [line[2:] for line in lines if line.startswith("• ")]
