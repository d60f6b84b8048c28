"""Takes the optimiser's steps: all seeds as one batched program where that is the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, optim

from pytest_initcheck.backends.mapping import mapped
from pytest_initcheck.capture.optimizer_step import ELEMENTWISE, needs_closure
from pytest_initcheck.capture.randomness import seed_all, stream_positions
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.landscape.problem import EscapeProblem

# Elements of w over the seeds of a group: of more, a step is arithmetic and no longer Python.
_GROUP = 2**15


@dataclass(frozen=True)
class Walk:
    """Where the seeds went: positions and objective values, flat in the parameter's elements.

    ``path`` is seeds × (steps + 1) × elements and starts with the start, ``values`` is seeds ×
    (steps + 1), with the noise where it is on the loss, ``rest`` continues ``path`` by some steps
    without noise: seeds × more × elements.
    """

    path: Tensor
    values: Tensor
    rest: Tensor


def settling(steps: int) -> int:
    """How many steps without noise are taken at the end to see whether a seed stays."""
    return max(10, steps // 10) if steps else 0


def walk(problem: EscapeProblem, backend: str | None = None) -> Walk:
    """All seeds of the problem, each from its start. Seeds the global random streams.

    They walk in groups, which are the same whatever the ``backend`` of
    `pytest_initcheck.backends.mapped` and the number of its workers: another size of a batch may
    be rounded in another way.
    """
    groups = grouped(problem)
    names = [f"seeds {', '.join(map(str, group))}" for group in groups]
    return _joined(mapped(_walk_group, problem, groups, backend=backend, names=names).results)


def grouped(problem: EscapeProblem) -> list[tuple[int, ...]]:
    """The seeds that walk together: as many as fit, or one where they cannot be batched."""
    size = max(_GROUP // problem.start.numel(), 1)
    if not _batches(problem):
        size = 1
    elif not problem.noisy:
        size = len(problem.seeds)
    return [problem.seeds[i : i + size] for i in range(0, len(problem.seeds), size)]


def _walk_group(problem: EscapeProblem, seeds: tuple[int, ...], tick: object) -> Walk:
    group = replace(problem, seeds=seeds)
    with preserved(), torch.inference_mode(False):
        together = batched(group)
        return one_by_one(group) if together is None else together


def _joined(walks: Sequence[Walk]) -> Walk:
    if len(walks) == 1:
        return walks[0]
    return Walk(*(torch.cat([getattr(w, f) for w in walks]) for f in ("path", "values", "rest")))


def one_by_one(problem: EscapeProblem) -> Walk:
    """One seed after the other; Python, numpy and torch are seeded before each."""
    walks = []
    for seed in problem.seeds:
        seed_all(seed)
        walks.append(_steps(problem, problem.start[None], problem.noises([seed]), _single))
    return _joined(walks)


def batched(problem: EscapeProblem) -> Walk | None:
    """All seeds at once, or None where that could differ from one by one."""
    if not _batches(problem):
        return None
    start = _starts(problem)
    noise = problem.noises(problem.seeds)
    if problem.noisy:
        return _steps(problem, start, noise, _mapped)
    return _alike(problem, noise)


def _batches(problem: EscapeProblem) -> bool:
    return _elementwise(problem) and _maps(problem, _starts(problem))


def _starts(problem: EscapeProblem) -> Tensor:
    return problem.start.expand(len(problem.seeds), *problem.start.shape)


def _alike(problem: EscapeProblem, noise: Tensor) -> Walk:
    """Without noise on the gradient every seed takes one and the same path."""
    seeds = len(problem.seeds)
    one = _steps(problem, problem.start[None], torch.zeros_like(noise[:1]), _single)
    values = one.values.expand(seeds, -1)
    if problem.noise_on == "loss":
        values = values + noise[..., 0]
    return Walk(one.path.expand(seeds, -1, -1), values, one.rest.expand(seeds, -1, -1))


Evaluate = Callable[[EscapeProblem, Tensor], Tensor]


def _single(problem: EscapeProblem, w: Tensor) -> Tensor:
    # A start or a runaway that is not finite is not worth an error of the user's function.
    if not bool(torch.isfinite(w).all()):
        return w.new_full((1,), torch.nan)
    return problem.value(w[0])[None]


def _mapped(problem: EscapeProblem, w: Tensor) -> Tensor:
    return torch.vmap(problem.value)(w)


def _steps(problem: EscapeProblem, start: Tensor, noise: Tensor, evaluate: Evaluate) -> Walk:
    walker = _Walker(problem, start, evaluate)
    # Step first: what one step needs lies together.
    rows = noise.transpose(0, 1).contiguous().unbind()
    on_gradient = problem.noise_on == "gradient"
    path, values = [walker.place()], []
    for row in rows[:-1]:
        values.append(walker.step(row, None) if on_gradient else walker.step(None, row[:, 0]))
        path.append(walker.place())
    values.append(walker.values() + (0.0 if on_gradient else rows[-1][:, 0]))
    rest = []
    for _ in range(settling(problem.steps)):
        walker.step(None, None)
        rest.append(walker.place())
    flat = start.flatten(1)
    return Walk(
        path=_frozen(torch.stack(path, 1)),
        values=torch.stack(values, 1),
        rest=torch.stack(rest, 1) if rest else flat[:, None][:, :0],
    )


class _Walker:
    """The parameter of some seeds with its optimiser."""

    def __init__(self, problem: EscapeProblem, start: Tensor, evaluate: Evaluate) -> None:
        self._problem = problem
        self._evaluate = evaluate
        self._w = start.clone().requires_grad_()
        self._optimizer = problem.new_optimizer(self._w)
        self._wants_closure = needs_closure(self._optimizer)

    def place(self) -> Tensor:
        """Where the seeds are: seeds × elements."""
        return self._w.detach().flatten(1).clone()

    def values(self) -> Tensor:
        """The objective there, without noise."""
        with torch.no_grad():
            return self._evaluate(self._problem, self._w)

    def step(self, shift: Tensor | None, raised: Tensor | None) -> Tensor:
        """One step with noise on gradient and loss; returns the loss of each seed before it."""
        seen: list[Tensor] = []

        def closure() -> Tensor:
            with torch.enable_grad():
                loss = self._evaluate(self._problem, self._w)
                total = loss.sum()
                gradient = _gradient(total, self._w)
            self._w.grad = gradient if shift is None else gradient + shift.view(self._w.shape)
            seen.append(loss.detach() if raised is None else loss.detach() + raised)
            return total.detach() if raised is None else seen[-1].sum()

        try:
            if self._wants_closure:
                self._optimizer.step(closure)  # type: ignore[arg-type]
            else:
                closure()
                self._optimizer.step()
        except InitcheckError:
            raise
        except Exception as error:
            raise InitcheckError(
                f"the optimizer's step raised {type(error).__name__}: {error}; pass a factory of"
                " an optimiser that can step on its own, such as torch.optim.SGD"
            ) from error
        if not seen:
            raise InitcheckError(
                "the optimizer's step never called its closure; call it, or give step a default:"
                " def step(self, closure=None)"
            )
        return seen[0]


def _gradient(loss: Tensor, w: Tensor) -> Tensor:
    # Not backward(): it would also fill the gradients of other tensors that the objective uses.
    if not loss.requires_grad:
        return torch.zeros_like(w)
    (gradient,) = torch.autograd.grad(loss, [w], allow_unused=True)
    return torch.zeros_like(w) if gradient is None else gradient


def _frozen(path: Tensor) -> Tensor:
    """The path with everything after a point that is not finite held at that point."""
    lost = ~torch.isfinite(path).all(-1)
    first = torch.where(lost.any(1), lost.int().argmax(1), path.shape[1] - 1)
    index = torch.arange(path.shape[1], device=path.device).expand(lost.shape)
    index = torch.minimum(index, first[:, None])
    return path.gather(1, index[..., None].expand_as(path))


def _elementwise(problem: EscapeProblem) -> bool:
    w = problem.start.clone().requires_grad_()
    optimizer = problem.new_optimizer(w)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return (
        type(optimizer) in ELEMENTWISE
        and len(held) == 1
        and "step" not in vars(optimizer)
        and not _hooked(optimizer)
    )


def _hooked(optimizer: optim.Optimizer) -> bool:
    """Does anything run around the optimiser's step, which might mix the elements?"""
    places = (optimizer, sys.modules[optim.Optimizer.__module__])
    names = [
        f"_{scope}_{moment}_hooks"
        for scope in ("optimizer_step", "global_optimizer")
        for moment in ("pre", "post")
    ]
    return any(getattr(place, name, None) for place in places for name in names)


def _maps(problem: EscapeProblem, start: Tensor) -> bool:
    """Does the mapped objective give what single calls give, and draw nothing at random?"""
    before = stream_positions()
    try:
        with torch.enable_grad():
            w = start.clone().requires_grad_()
            values = _mapped(problem, w)
            gradient = _gradient(values.sum(), w)
            single = problem.start.clone().requires_grad_()
            value = problem.value(single)
            expected = _gradient(value, single)
    except Exception:
        return False
    same = _close(values, value) and _close(gradient, expected)
    return same and before == stream_positions()


def _close(actual: Tensor, expected: Tensor) -> bool:
    # Mapped arithmetic may round the last bits in another order.
    tolerance = 64 * torch.finfo(expected.dtype).eps
    return torch.allclose(actual, expected.expand_as(actual), rtol=tolerance, atol=tolerance)
