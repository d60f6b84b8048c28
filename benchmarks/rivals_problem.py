"""A start of the corpus in the form that the rivals can be called with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pytest_initcheck.capture.program import Program, copied, default_loss, main_tensor, split

Loss = Callable[..., Tensor]


class Whole(nn.Module):
    """A model whose output is the loss that ``forward(model, batch)`` computes."""

    def __init__(self, model: nn.Module, forward: Callable[[nn.Module, Any], Tensor]):
        super().__init__()
        self.model, self.evaluate = model, forward

    def forward(self, batch: Any) -> Tensor:
        # A loss is not asked for under no_grad, and some take gradients themselves.
        with torch.enable_grad():
            return self.evaluate(self.model, batch)


class Packed(nn.Module):
    """A model that takes all its inputs as one argument."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> Any:
        return called(self.model, inputs)


def called(model: nn.Module, inputs: Any) -> Any:
    """The model's output on a tensor, a tuple of arguments or a mapping of them."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


@dataclass
class Problem:
    """What a rival is given: ``optimizer`` is None where the case has none of its own."""

    model: nn.Module
    inputs: Any
    targets: Any
    loss_fn: Loss
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer] | None

    def output(self) -> Any:
        return called(self.model, copied(self.inputs))

    def loss(self, output: Any) -> Tensor:
        """The loss of an output on this batch."""
        return self.loss_fn(output) if self.targets is None else self.loss_fn(output, self.targets)

    def made(self) -> torch.optim.Optimizer | None:
        """The case's optimiser over the trainable parameters, or all where none is trainable."""
        parameters = list(self.model.parameters())
        trainable = [p for p in parameters if p.requires_grad]
        return self.optimizer and self.optimizer(trainable or parameters)

    def made_for_copy(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        """The case's optimiser with the trainable parameters of a copy in place of the model's."""
        optimizer = self.made()
        own = [p for p in self.model.parameters() if p.requires_grad]
        copies = {id(p): copy for p, copy in zip(own, parameters, strict=True)}
        for group in optimizer.param_groups:
            group["params"][:] = [copies.get(id(p), p) for p in group["params"]]
        return optimizer

    def made_or_adam(self) -> torch.optim.Optimizer:
        """The case's optimiser, Adam where it has none."""
        return self.made() or torch.optim.Adam(self.model.parameters(), 1e-3)

    def single(self) -> tuple[nn.Module, Any]:
        """Model and input for a tool that calls ``model(x)`` with one tensor."""
        if isinstance(self.inputs, Tensor):
            return self.model, self.inputs
        return Packed(self.model), self.inputs


def problem(build: Callable[[], Any]) -> Problem:
    """The start that ``build`` makes; it is built twice, to look at an output beforehand."""
    loss_fn = _loss_fn(_parts(build()))
    made = _parts(build())
    made.loss_fn = loss_fn
    return made


def _parts(start: Any) -> Problem:
    options = start.options
    optimizer = options.get("optimizer")
    start.model.train()
    forward = options.get("forward")
    if forward is not None:
        return Problem(Whole(start.model, forward), (start.batch,), None, nn.Identity(), optimizer)
    program = Program(start.model, start.batch)
    program.materialise()
    inputs, targets = program._extract_targets(*split(start.batch))
    return Problem(start.model, inputs, targets, options.get("loss_fn"), optimizer)


def _loss_fn(probe: Problem) -> Loss:
    # Not under no_grad: some models take gradients themselves.
    output = probe.output()
    if probe.loss_fn is None:
        return _usual(output, probe.targets)
    if isinstance(output, Tensor) or not isinstance(probe.loss_fn, nn.modules.loss._Loss):
        return probe.loss_fn
    return lambda output, targets: probe.loss_fn(main_tensor(output), targets)


def _usual(output: Any, targets: Any) -> Loss:
    """The default loss by its own name where possible: some rivals look for cross-entropy."""
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor):
        return lambda output, targets=None: default_loss(output, targets)
    if targets.is_floating_point():
        return functional.mse_loss
    several = output.dim() > 1 and output.numel() != targets.numel()
    if several and output.shape[:1] + output.shape[2:] == targets.shape:
        return functional.cross_entropy
    return default_loss
