"""The loss at the start, beside what a prediction without knowledge costs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.look import Looked, inside_of
from pytest_initcheck.capture.program import Program, main_tensor, no_grad_loss
from pytest_initcheck.evidence import LossFacts, Node


def loss_facts(program: Program, looked: Looked) -> LossFacts:
    """Chance level and reduction of the loss, from evaluating it on a constant prediction."""
    initial, name = looked.look.loss, program.loss_name
    output, targets = main_tensor(looked.result.output), looked.result.targets
    if program.forward is not None or not _is_judged(output, targets):
        return LossFacts(name, initial)
    constant = uninformed(output, looked)
    chance = no_grad_loss(program, constant, targets)
    if chance is None or not math.isfinite(chance):
        return LossFacts(name, initial)
    doubled = torch.cat([constant, constant]), torch.cat([targets, targets])
    twice = no_grad_loss(program, *doubled)
    growth = twice / chance if twice is not None and chance > 0 else None
    classes = _classes(output, targets)
    # A cross-entropy over one class is zero, whatever the output.
    if output.numel() == targets.numel() and not targets.is_floating_point():
        classes = 1 if chance == initial == 0 else classes
    return LossFacts(name, initial, chance, growth, classes)


def uninformed(output: Tensor, looked: Looked) -> Tensor:
    """A constant prediction: equal probabilities, or their logarithms, where the model ends in
    them, else zeros."""
    inside = inside_of(looked.nodes)
    values = [_at_rest(node) for node in looked.nodes if node.index not in inside]
    known = [value for value in values if value is not None]
    return torch.full_like(output.detach(), known[-1] if known else 0.0)


def _at_rest(node: Node) -> float | None:
    """What a squashing operation gives where it prefers nothing."""
    if "softmax" in node.operator:
        share = 1 / max(node.width, 1)
        return math.log(share) if "log" in node.operator else share
    return 0.5 if node.nonlinearity == "sigmoid" else None


def _is_judged(output: Any, targets: Any) -> bool:
    return isinstance(output, Tensor) and isinstance(targets, Tensor) and output.dim() > 0


def _classes(output: Tensor, targets: Tensor) -> int | None:
    if targets.is_floating_point() or output.dim() < 2 or output.numel() == targets.numel():
        return None
    is_last = output.shape[:-1] == targets.shape
    return int(output.shape[-1 if is_last else 1])
