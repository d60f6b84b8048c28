"""`escape`: an optimiser on an objective function, over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.landscape.ends import Ending, classified
from pytest_initcheck.landscape.problem import (
    SEEDS,
    EscapeProblem,
    Factory,
    NoiseOn,
    Objective,
    pose,
)
from pytest_initcheck.landscape.result import Escape, Predicate
from pytest_initcheck.landscape.surface import Surface
from pytest_initcheck.landscape.walk import Walk, walk

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def escape(
    objective: Objective,
    start: float | Sequence[Any] | Tensor | ArrayLike,
    optimizer: Factory,
    steps: int,
    *,
    noise: float = 0.0,
    noise_on: NoiseOn = "gradient",
    seeds: int | Iterable[int] = SEEDS,
    reached: Predicate | None = None,
    backend: str | None = None,
) -> Escape:
    """Let an optimiser walk on an objective function and say where each seed ends.

    Args:
        objective: a function of a tensor w that returns a scalar tensor, built from torch
            operations. w has the shape of ``start``; a plain number becomes one element.
        start: a number, numbers, or a tensor. Numbers take torch's default type, a tensor or an
            array keeps its floating type.
        optimizer: from a list of parameters to an optimiser, as in
            ``lambda p: torch.optim.SGD(p, lr=0.01)``.
        steps: how many steps.
        noise: standard deviation σ of normal noise drawn anew at each step. On the gradient,
            N(0, σ²) is added to each component; on the loss, to its value, which leaves the
            gradient and so the trajectory as they are.
        noise_on: "gradient" (default) or "loss".
        seeds: how many (default 8), or which.
        reached: a function of the final w that is true for a seed that escaped.
        backend: where the seeds walk, as in `pytest_initcheck.run`: a task for a group of seeds
            that walk as one program (2**15 elements of w), or for each seed where they cannot.

    Returns:
        An `Escape`. Seeds are run as one batched program where the optimiser and the objective
        allow it, otherwise one by one; the caller's random streams are left as they were.

    Raises:
        InitcheckError: an argument that cannot be used; the message says what to pass.
    """
    with preserved(), torch.inference_mode(False):
        problem = pose(
            objective, start, optimizer, steps, noise=noise, noise_on=noise_on, seeds=seeds
        )
        walked = walk(problem, backend)
        endings = _endings(problem, walked)
        name = _describe(problem)
    return Escape(
        problem=problem,
        trajectories=walked.path.cpu(),
        values=walked.values.cpu(),
        ends=tuple(ending.kind for ending in endings),
        gradient_norms=tuple(ending.gradient_norm for ending in endings),
        eigenvalues=torch.stack([ending.eigenvalues for ending in endings]).cpu(),
        optimizer=name,
        reached=reached,
    )


def _endings(problem: EscapeProblem, walked: Walk) -> list[Ending]:
    """One ending per seed; equal trajectories, the rule without noise, are judged once."""
    noise = problem.noise if problem.noisy else 0.0
    keys = [path.numpy().tobytes() for path in walked.path.cpu()]
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    rows = sorted(first.values())
    found = classified(Surface(problem), walked.path[rows], walked.rest[rows], noise)
    known = dict(zip(rows, found, strict=True))
    return [known[first[key]] for key in keys]


def _describe(problem: EscapeProblem) -> str:
    optimizer = problem.new_optimizer(problem.start.clone().requires_grad_())
    settings = optimizer.param_groups[0].items()
    shown = [
        f"{key}={value:g}"
        for key, value in settings
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value
    ]
    return f"{type(optimizer).__name__}({', '.join(shown)})"
