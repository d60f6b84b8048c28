"""The batched training loop: all seeds as one program, for models too small to fill the machine.

The parameters of several models are stacked and the step is vectorised over them
(https://pytorch.org/docs/stable/generated/torch.func.stack_module_state.html). Only optimisers
that work element by element may update a stack: for them it equals one optimiser per model. Long
trainings run a trace of the step, compared with the step itself at every power of two.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.optimizer_step import ELEMENTWISE
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.build import describe_error
from pytest_initcheck.training.carried import bits, from_bits
from pytest_initcheck.training.forks import in_processes, no_fork
from pytest_initcheck.training.history import History, Tally
from pytest_initcheck.training.loop import Tick, final_accuracy
from pytest_initcheck.training.prepare import Prepared
from pytest_initcheck.training.seeds import Order
from pytest_initcheck.training.stack import Found, Stack
from pytest_initcheck.training.workers import in_threads, sharing, worker_count

# Of smaller stacks the interpreter has as much to do as of single models.
SMALLEST = 4
# Of larger ones (parameters, gradients, two moments, a batch) the caches hold too little.
_LARGEST = 8 * 2**20
# A trace costs as much as some hundred steps, and saves a half of each.
_WORTH_TRACING = 400
# Batches are gathered together up to this size, so that small ones do not cost a call each.
_GATHERED = 2**18


class _Differs(Exception):
    """A trace and the step that it was made of give different numbers."""


def train(
    prepared: Prepared,
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    tick: Tick,
) -> list[History]:
    """Train all models at once; the same curves as the plain loop up to rounding.

    Raises:
        InitcheckError: the model, its loss or its optimiser cannot run stacked.
    """
    jobs = _jobs(prepared, models, seeds)
    found = _done(jobs, _programs(jobs), tick)
    for job in jobs:
        job.stack.unstack()
    return [history for histories in found for history in histories]


def tried(prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]) -> list[History]:
    """Train a copy of a single stack."""
    with _told():
        job = _Job(prepared, Stack(prepared, models), seeds)
    return job.train(_programs([job]), lambda done: None)


def parts(prepared: Prepared, models: Sequence[nn.Module]) -> list[slice]:
    """Which models are stacked together: as many as fit, in equal parts, for all workers."""
    count = len(models)
    workers = worker_count(max(count // SMALLEST, 1))
    needed = -(-count // max(_LARGEST // _bytes(prepared, models[0]), SMALLEST))
    stacks = max(-(-needed // workers) * workers, workers)
    # A trace serves stacks of one size.
    most = stacks * 3 // 2
    stacks = next((n for n in range(stacks, most + 1, workers) if count % n == 0), stacks)
    edges = [count * i // stacks for i in range(stacks + 1)]
    found = [slice(*each) for each in itertools.pairwise(edges)]
    if prepared.device.type != "cpu" or sharing([models[part][0] for part in found]):
        return [slice(None)]
    return found


def _bytes(prepared: Prepared, model: nn.Module) -> int:
    """What a step of one model works on: parameters, gradients, moments and a batch."""
    values = sum(each.numel() * each.element_size() for each in model.parameters())
    row = prepared.train.inputs[0]
    return 4 * values + prepared.experiment.batch_size * row.numel() * row.element_size() or 1


def _jobs(prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]) -> list[_Job]:
    with _told():
        return [
            _Job(prepared, Stack(prepared, models[part]), seeds[part])
            for part in parts(prepared, models)
        ]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise InitcheckError(
            f"batched: the models cannot be trained as one program: {describe_error(error)}; "
            "pass batched=False"
        ) from error


def _programs(jobs: Sequence[_Job]) -> dict[tuple[int, ...], Any]:
    """Traces by the shape of their batch, models first, where they are used often enough."""
    uses: Counter[tuple[int, ...]] = Counter()
    for job in jobs:
        for size, steps in job.batches.items():
            uses[len(job.seeds), size] += steps * job.prepared.experiment.epochs
    often = [shape for shape, count in uses.items() if count >= _WORTH_TRACING]
    stacks = {len(job.seeds): job.stack for job in jobs}
    return {shape: stacks[shape[0]].traced_step(shape) for shape in often}


def _done(
    jobs: Sequence[_Job], programs: Mapping[tuple[int, ...], Any], tick: Tick
) -> list[list[History]]:
    """Train all stacks, in several processes where these can be forked, otherwise in threads."""
    if worker_count(len(jobs)) < 2 or no_fork(jobs[0].prepared.device):
        return in_threads(lambda job, counted: job.train(programs, counted), jobs, tick)

    def work(place: int, counted: Tick) -> tuple[list[History], list[bytes]]:
        histories = jobs[place].train(programs, counted)
        return histories, [bits(each) for part in jobs[place].stack.state for each in part]

    names = [f"seeds {', '.join(map(str, job.seeds))}" for job in jobs]
    found = in_processes(work, names, tick)
    for job, (_, state) in zip(jobs, found, strict=True):
        tensors = [each for part in job.stack.state for each in part]
        for tensor, data in zip(tensors, state, strict=True):
            tensor.data.copy_(from_bits(data, tensor))
    return [histories for histories, _ in found]


class _Job:
    """The training of one stack."""

    def __init__(self, prepared: Prepared, stack: Stack, seeds: Sequence[int]) -> None:
        self.prepared, self.stack, self.seeds = prepared, stack, seeds
        self.programs: Mapping[tuple[int, ...], Any] = {}
        self.steps = 0

    @property
    def batches(self) -> dict[int, int]:
        """How many steps of an epoch there are with batches of each size."""
        size, samples = self.prepared.experiment.batch_size, len(self.prepared.train)
        whole, rest = divmod(samples, size)
        found = {size: whole} if whole else {}
        return {**found, rest: 1} if rest and self.prepared.steps > whole else found

    def train(self, programs: Mapping[tuple[int, ...], Any], tick: Tick) -> list[History]:
        """Train it; anew and without traces where these turn out to be wrong."""
        counted: list[int] = []

        def count(done: int) -> None:
            counted.append(done)
            tick(done)

        self.programs = programs
        try:
            with _told():
                return self._train(count)
        except _Differs:
            tick(-sum(counted))
            self.stack, self.programs = Stack(self.prepared, self.stack.models), {}
            with _told():
                return self._train(tick)

    def _train(self, tick: Tick) -> list[History]:
        experiment, stack = self.prepared.experiment, self.stack
        optimizer = _optimizer(self.prepared, stack)
        orders = [Order(seed, len(self.prepared.train), experiment.shuffle) for seed in self.seeds]
        histories = [History() for _ in self.seeds]
        for _ in range(experiment.epochs):
            _extend(histories, self._epoch(optimizer, torch.stack([x.epoch() for x in orders])))
            if self.prepared.validation is not None:
                _extend(histories, stack.evaluate(self.prepared.validation, "validation "))
            tick(len(self.seeds))
        for history, values in zip(histories, stack.evaluate(self.prepared.train), strict=True):
            history.metrics.update(final_accuracy(values))
            history.finish()
        return histories

    def _epoch(self, optimizer: torch.optim.Optimizer, order: Tensor) -> list[dict[str, float]]:
        tally, start, order = Tally(), 0, order.to(self.prepared.device)
        for size, steps in self.batches.items():
            index = order[:, start : start + steps * size].unflatten(1, (steps, size))
            start += steps * size
            found = [self._step(optimizer, *batch) for batch in self._rows(index.transpose(0, 1))]
            losses, right = (list(each) for each in zip(*found, strict=True))
            known = None if right[0] is None else torch.stack(right).sum(0)
            decisions = steps * size * self.prepared.train.targets[0].numel()
            tally.count(torch.stack(losses).double().sum(0) * size, known, steps * size, decisions)
        return tally.means()

    def _rows(self, index: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches at these places (step first, then model), several gathered at once."""
        row = self.prepared.train.inputs[0]
        size = index[0].numel() * row.numel() * row.element_size()
        for part in index.split(max(_GATHERED // max(size, 1), 1)):
            yield from zip(*(each.unbind() for each in self.stack.rows(part)), strict=True)

    def _step(
        self, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        losses, right, *gradients = self._found(inputs, targets)
        wanted = (param for param in self.stack.params.values() if param.requires_grad)
        for param, gradient in zip(wanted, gradients, strict=True):
            param.grad = gradient
        optimizer.step()
        return losses, right

    def _found(self, inputs: Tensor, targets: Tensor) -> Found:
        stack = self.stack
        program = self.programs.get((len(targets), targets.shape[1]))
        if program is None:
            return stack.step(*stack.state, inputs, targets)
        self.steps += 1
        with torch.no_grad():
            if self.steps & (self.steps - 1):
                return program(*stack.flat, inputs, targets)  # type: ignore[no-any-return]
            copies = [each.clone() for each in stack.flat]
            found = program(*copies, inputs, targets)
        expected = stack.step(*stack.state, inputs, targets)
        buffers = copies[len(stack.params) :], stack.state[1]
        _compare([*found, *buffers[0]], [*expected, *buffers[1]])
        return expected


def _compare(found: Sequence[Tensor | None], expected: Sequence[Tensor | None]) -> None:
    for mine, own in zip(found, expected, strict=True):
        if mine is None or own is None:
            same = mine is own
        elif own.is_floating_point():
            near = torch.finfo(own.dtype).eps ** 0.5
            largest = own.abs().nan_to_num(0.0, 0.0, 0.0).max().item() if own.numel() else 0.0
            same = torch.allclose(mine, own, near, near * largest, equal_nan=True)
        else:
            same = torch.equal(mine, own)
        if not same:
            raise _Differs


def _optimizer(prepared: Prepared, stack: Stack) -> torch.optim.Optimizer:
    optimizer = prepared.experiment.optimizer(list(stack.params.values()))
    if type(optimizer) not in ELEMENTWISE:
        raise InitcheckError(
            f"batched: {type(optimizer).__name__} may mix the values of different models; pass "
            "batched=False or one of " + ", ".join(kind.__name__ for kind in ELEMENTWISE)
        )
    return optimizer


def _extend(histories: Sequence[History], epoch: Sequence[dict[str, float]]) -> None:
    for history, values in zip(histories, epoch, strict=True):
        history.add(values)
