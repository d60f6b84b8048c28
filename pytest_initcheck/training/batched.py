"""The batched training loop: all seeds as one program, for models too small to fill the machine.

The parameters of all models are stacked and the step is vectorised over them
(https://pytorch.org/docs/stable/generated/torch.func.stack_module_state.html). Only optimisers
that work element by element may update a stack: for them it equals one optimiser per model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pytest_initcheck.capture.optimizer_step import ELEMENTWISE
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.build import describe_error
from pytest_initcheck.training.history import History, Tally
from pytest_initcheck.training.loop import (
    EVALUATED,
    Tick,
    batches,
    class_dimension,
    final_accuracy,
)
from pytest_initcheck.training.prepare import LabelledData, Prepared
from pytest_initcheck.training.seeds import Order
from pytest_initcheck.training.workers import in_threads, sharing, worker_count

# Of smaller stacks the interpreter, of which there is one, has as much to do as the cores.
_SMALLEST = 4


class Stack:
    """Several models of one architecture with their parameters stacked: model first."""

    def __init__(self, prepared: Prepared, models: Sequence[nn.Module]) -> None:
        self.prepared, self.models, self.base = prepared, models, models[0]
        self.params, self.buffers = stack_module_state(list(models))
        self.batch: tuple[Tensor, Tensor] | None = None
        self.per_batch: Callable[..., Any] = vmap(self._one)
        self.per_model: Callable[..., Any] = vmap(self._one, in_dims=(0, 0, None, None))

    def _one(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        outputs = functional_call(self.base, (params, buffers), (inputs,))
        return self.prepared.loss(outputs, targets), outputs

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The samples at these places of every model (model first), until the next are asked for.

        They are written to the same memory every time: fresh pages cost more than the copy.
        """
        pair = self.prepared.train
        if self.batch is None or self.batch[1].shape[:2] != index.shape:
            self.batch = (
                pair.inputs.new_empty(*index.shape, *pair.inputs.shape[1:]),
                pair.targets.new_empty(*index.shape, *pair.targets.shape[1:]),
            )
        for source, rows in zip((pair.inputs, pair.targets), self.batch, strict=True):
            torch.index_select(source, 0, index.reshape(-1), out=rows.flatten(0, 1))
        return self.batch

    def losses(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and outputs of every model on its own batch (model first)."""
        return self.per_batch(self.params, self.buffers, inputs, targets)  # type: ignore[no-any-return]

    @torch.no_grad()
    def evaluate(self, pair: LabelledData, prefix: str = "") -> list[dict[str, float]]:
        """Mean loss and accuracy of every model on the same samples, in evaluation mode."""
        tally = Tally()
        self.base.eval()
        rows = max(8 * EVALUATED // len(self.models), 1)
        for start in range(0, len(pair), rows):
            inputs, targets = pair.rows(slice(start, start + rows))
            losses, outputs = self.per_model(self.params, self.buffers, inputs, targets)
            targets = targets.expand(len(self.models), *targets.shape)
            tally.add(losses, outputs, targets, class_dimension(self.prepared, outputs, 1))
        self.base.train()
        return tally.means(prefix)

    @torch.no_grad()
    def unstack(self) -> None:
        """Write the trained parameters and buffers back into the models."""
        for place, model in enumerate(self.models):
            for name, parameter in model.named_parameters():
                parameter.copy_(self.params[name][place])
            for name, buffer in model.named_buffers():
                buffer.copy_(self.buffers[name][place])


def train(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train all models at once; the same curves as the plain loop up to rounding.

    Raises:
        InitcheckError: the model, its loss or its optimiser cannot run stacked.
    """
    try:
        stacks, histories = train_copies(prepared, models, seeds, tick)
        for stack in stacks:
            stack.unstack()
    except (RuntimeError, ValueError) as error:
        raise InitcheckError(
            f"batched: the models cannot be trained as one program: {describe_error(error)}; "
            "pass batched=False"
        ) from error
    return histories


def train_copies(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> tuple[list[Stack], list[History]]:
    """Train stacks, one in every worker, whose models stay as they are."""
    jobs = [(Stack(prepared, models[part]), seeds[part]) for part in parts(prepared, models)]
    found = in_threads(lambda job, counted: _train_stack(prepared, *job, counted), jobs, tick)
    return [stack for stack, _ in jobs], [history for each in found for history in each]


def parts(prepared: Prepared, models: Sequence[nn.Module]) -> list[slice]:
    """Which models are stacked together: equal parts, as many as are trained at a time."""
    count = worker_count(max(len(models) // _SMALLEST, 1))
    size = -(-len(models) // count)
    found = [slice(start, start + size) for start in range(0, len(models), size)]
    if prepared.device.type != "cpu" or sharing([models[part][0] for part in found]):
        return [slice(None)]
    return found


def _train_stack(
    prepared: Prepared, stack: Stack, seeds: Sequence[int], tick: Tick
) -> list[History]:
    experiment, count = prepared.experiment, len(stack.models)
    optimizer = _optimizer(prepared, stack)
    orders = [Order(seed, len(prepared.train), experiment.shuffle) for seed in seeds]
    histories = [History() for _ in stack.models]
    for _ in range(experiment.epochs):
        _extend(histories, _epoch(prepared, stack, optimizer, orders))
        if prepared.validation is not None:
            _extend(histories, stack.evaluate(prepared.validation, "validation "))
        tick(count)
    for history, values in zip(histories, stack.evaluate(prepared.train), strict=True):
        history.metrics.update(final_accuracy(values))
        history.finish()
    return histories


def _optimizer(prepared: Prepared, stack: Stack) -> torch.optim.Optimizer:
    optimizer = prepared.experiment.optimizer(list(stack.params.values()))
    if type(optimizer) not in ELEMENTWISE:
        raise InitcheckError(
            f"batched: {type(optimizer).__name__} may mix the values of different models; pass "
            "batched=False or one of " + ", ".join(kind.__name__ for kind in ELEMENTWISE)
        )
    return optimizer


def _epoch(
    prepared: Prepared, stack: Stack, optimizer: torch.optim.Optimizer, orders: Sequence[Order]
) -> list[dict[str, float]]:
    tally = Tally()
    for index in batches(prepared, torch.stack([order.epoch() for order in orders])):
        inputs, targets = stack.rows(index)
        optimizer.zero_grad(set_to_none=True)
        losses, outputs = stack.losses(inputs, targets)
        torch.autograd.backward(losses.sum())
        optimizer.step()
        tally.add(losses, outputs, targets, class_dimension(prepared, outputs, 1))
    return tally.means()


def _extend(histories: Sequence[History], epoch: Sequence[dict[str, float]]) -> None:
    for history, values in zip(histories, epoch, strict=True):
        history.add(values)
