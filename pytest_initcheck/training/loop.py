"""The plain training loop: one model after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.build import describe_error
from pytest_initcheck.training.history import History, Tally
from pytest_initcheck.training.prepare import LabelledData, Prepared
from pytest_initcheck.training.seeds import Order

Tick = Callable[[int], object]
Epoch = Callable[[torch.optim.Optimizer, Order], dict[str, float]]
EVALUATED = 2_048  # Rows per forward when nothing is learned.


def train(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train every model from its own seed; ``tick(1)`` is called after every epoch."""
    histories = []
    for model, seed in zip(models, seeds, strict=True):
        seed_all(seed)
        histories.append(train_one(prepared, model, seed, tick))
    return histories


def train_one(
    prepared: Prepared, model: nn.Module, seed: int, tick: Tick, one_epoch: Epoch | None = None
) -> History:
    """Train one model, in the order of samples of its seed; the global streams are as they are.

    ``one_epoch`` is another way to take the steps of an epoch.
    """
    experiment = prepared.experiment
    optimizer = experiment.optimizer(list(model.parameters()))
    order = Order(seed, len(prepared.train), experiment.shuffle)
    history = History()
    for epoch in range(experiment.epochs):
        try:
            history.add(
                one_epoch(optimizer, order)
                if one_epoch
                else _epoch(prepared, model, optimizer, order)
            )
        except Exception as error:
            where = f"seed {seed}, epoch {epoch + 1}"
            raise InitcheckError(f"training stopped at {where}: {describe_error(error)}") from error
        if prepared.validation is not None:
            history.add(evaluate(prepared, model, prepared.validation, "validation "))
        tick(1)
    history.metrics.update(final_accuracy(evaluate(prepared, model, prepared.train)))
    history.finish()
    return history


def _epoch(
    prepared: Prepared, model: nn.Module, optimizer: torch.optim.Optimizer, order: Order
) -> dict[str, float]:
    tally = Tally()
    for index in batches(prepared, order.epoch()):
        inputs, targets = prepared.train.rows(index)
        optimizer.zero_grad(set_to_none=True)
        outputs = model(inputs)
        loss = prepared.loss(outputs, targets)
        torch.autograd.backward(loss)
        optimizer.step()
        tally.add(loss, outputs, targets, class_dimension(prepared, outputs))
    return tally.means()[0]


def batches(prepared: Prepared, order: Tensor) -> Iterator[Tensor]:
    """The indices of every batch of an epoch, cut along the last dimension of ``order``."""
    size = prepared.experiment.batch_size
    order = order.to(prepared.device)
    for start in range(0, prepared.steps * size, size):
        yield order[..., start : start + size]


def class_dimension(prepared: Prepared, outputs: Tensor, models: int = 0) -> int | None:
    """The dimension of the outputs that holds classes, after ``models`` leading ones, or None."""
    fits = outputs.ndim - models == prepared.train.targets.ndim + 1
    if prepared.classes and fits and outputs.shape[models + 1] > 1:
        return models + 1
    return None


@torch.no_grad()
def evaluate(
    prepared: Prepared, model: nn.Module, pair: LabelledData, prefix: str = ""
) -> dict[str, float]:
    """Mean loss and accuracy on a set of samples, in evaluation mode."""
    tally = Tally()
    model.eval()
    try:
        for start in range(0, len(pair), EVALUATED):
            inputs, targets = pair.rows(slice(start, start + EVALUATED))
            outputs = model(inputs)
            loss = prepared.loss(outputs, targets)
            tally.add(loss, outputs, targets, class_dimension(prepared, outputs))
    finally:
        model.train()
    return tally.means(prefix)[0]


def final_accuracy(values: dict[str, float]) -> dict[str, float]:
    """The accuracy alone: the final loss is the last epoch's mean cost, as in the curve."""
    return {name: value for name, value in values.items() if name == "accuracy"}
