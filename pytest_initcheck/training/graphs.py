"""The plain loop on CUDA with whole steps captured: one launch in place of some hundred.

After https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture. The steps that
warm up are the first of the training itself, so that nothing has to be put back; what cannot be
captured goes on step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.training.attributes import plain_attributes
from pytest_initcheck.training.carried import not_carried
from pytest_initcheck.training.forks import Unsuited
from pytest_initcheck.training.history import History, Tally, hits
from pytest_initcheck.training.loop import Tick, batches, class_dimension, train_one
from pytest_initcheck.training.prepare import Prepared
from pytest_initcheck.training.seeds import Order

_WARM_UP = 3  # Steps; the documentation's number.


def train(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train one model after the other, most of its steps by replaying one.

    Raises:
        Unsuited: the plain loop has to do it; nothing has changed.
    """
    if prepared.device.type != "cuda":
        raise Unsuited(f"the models are on {prepared.device.type}")
    if reason := _obstacle(prepared.experiment.optimizer(list(models[0].parameters()))):
        raise Unsuited(reason)
    histories = []
    for model, seed in zip(models, seeds, strict=True):
        seed_all(seed)
        histories.append(train_one(prepared, model, seed, tick, Steps(prepared, model).epoch))
    return histories


def _obstacle(optimizer: torch.optim.Optimizer) -> str | None:
    """Why the steps of an optimiser cannot be captured, if so."""
    kinds = (torch.optim.SGD,)
    if type(optimizer) in kinds or all("capturable" in x for x in optimizer.param_groups):
        return None
    return f"{type(optimizer).__name__} keeps numbers on the host that every step changes"


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """What repeats the step on the device; this call only records it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def beside(step: Callable[[], None]) -> None:
    """Run the step on a stream of its own, where capture wants what it finds warm."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)


class Steps:
    """The steps of one model: the places of its batch, what they add up to, and their recording."""

    def __init__(self, prepared: Prepared, model: nn.Module) -> None:
        self.prepared, self.model = prepared, model
        size = prepared.experiment.batch_size
        self.index = torch.zeros(size, dtype=torch.long, device=prepared.device)
        self.loss = torch.zeros((), dtype=torch.float64, device=prepared.device)
        self.right = torch.zeros((), dtype=torch.long, device=prepared.device)
        self.decisions: int | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.done = 0
        self.replay: Callable[[], None] | None = None

    def epoch(self, optimizer: torch.optim.Optimizer, order: Order) -> dict[str, float]:
        """Train on all batches of the next order."""
        self._take(optimizer)
        self.loss.zero_()
        self.right.zero_()
        tally = Tally()
        decisions, samples = 0, 0
        for index in batches(self.prepared, order.epoch()):
            self._step(index)
            samples += len(index)
            decisions += (self.decisions or 0) * len(index)
        right = None if self.decisions is None else self.right
        tally.count(self.loss, right, samples, decisions)
        return tally.means()[0]

    def _take(self, optimizer: torch.optim.Optimizer) -> None:
        if self.optimizer is None:
            self.optimizer = optimizer
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = True

    def _step(self, index: Tensor) -> None:
        if len(index) < len(self.index):
            self._run(index)
            return
        self.index.copy_(index)
        if self.replay is not None:
            self.replay()
            return
        before = self._beside_tensors()
        beside(self._captured_step)
        self.done += 1
        # A recording would leave out what Python notes at every step.
        if self.done == _WARM_UP and self._beside_tensors() == before:
            self._record()

    def _record(self) -> None:
        assert self.optimizer is not None
        # What is recorded allocates its gradients itself, at places that stay.
        self.optimizer.zero_grad(set_to_none=True)
        try:
            self.replay = captured(self._captured_step)
        except Exception:
            # Whatever it is: nothing has run, and the step by itself still does.
            self.replay = None

    def _beside_tensors(self) -> object:
        return plain_attributes(self.model), not_carried(self.model)

    def _captured_step(self) -> None:
        self._run(self.index)

    def _run(self, index: Tensor) -> None:
        assert self.optimizer is not None
        inputs, targets = self.prepared.train.rows(index)
        self.optimizer.zero_grad(set_to_none=True)
        outputs = self.model(inputs)
        loss = self.prepared.loss(outputs, targets)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.loss += loss.detach().double() * len(index)
        classes = class_dimension(self.prepared, outputs)
        if classes is not None:
            self.decisions = targets[0].numel()
            self.right += hits(outputs.detach(), targets, classes).sum()
