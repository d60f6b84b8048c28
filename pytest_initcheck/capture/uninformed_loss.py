"""The loss at the start, beside what a prediction without knowledge costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pytest_initcheck.capture.program import (
    Program,
    copied,
    main_tensor,
    no_grad_loss,
    tensors_of,
)
from pytest_initcheck.capture.snapshot import Taken, inside_of
from pytest_initcheck.evidence import LossFacts, Node


def loss_facts(program: Program, looked: Taken) -> LossFacts:
    """Chance level and reduction of the loss, from evaluating it on a constant prediction."""
    initial, name = looked.snapshot.loss, program.loss_name
    output, targets = looked.result.output, looked.result.targets
    if program.forward is not None:
        chance = _chance_of_forward(program, looked)
        return LossFacts(
            name=name,
            initial=initial,
            uninformed=chance,
            growth=None,
            classes=_classes_at(chance, output),
            is_forward=True,
        )
    if not tensors_of(targets) or _has_own_loss(output):
        output = main_tensor(output)
    if not tensors_of(targets) or not tensors_of(output):
        return LossFacts(name=name, initial=initial)
    constant = uninformed(output, looked)
    chance = no_grad_loss(program, constant, targets)
    if chance is None or not math.isfinite(chance):
        return LossFacts(name=name, initial=initial)
    twice = no_grad_loss(program, _doubled(constant), _doubled(targets))
    growth = twice / chance if twice is not None and chance > 0 else None
    classes = _classes(main_tensor(output), targets, nothing_to_lose=chance == initial == 0)
    return LossFacts(name=name, initial=initial, uninformed=chance, growth=growth, classes=classes)


def uninformed(output: Any, looked: Taken) -> Any:
    """A constant prediction: equal probabilities, or their logarithms, where the model ends in
    them, else zeros."""
    inside = inside_of(looked.nodes)
    values = [_at_rest(node) for node in looked.nodes if node.index not in inside]
    known = [value for value in values if value is not None]
    return tree_map(lambda leaf: _constant(leaf, known[-1] if known else 0.0, output), output)


def _constant(leaf: Any, value: float, whole: Any) -> Any:
    if not isinstance(leaf, Tensor) or not (leaf.is_floating_point() or leaf.is_complex()):
        return leaf
    if leaf is not whole and value > 0 and leaf.numel():
        # Of several outputs only one may be a probability.
        low, high = leaf.detach().aminmax()
        value = value if float(low) >= 0 and float(high) <= 1 else 0.0
    return torch.full_like(leaf.detach(), value)


def _doubled(tree: Any) -> Any:
    return tree_map(lambda x: torch.cat([x, x]) if isinstance(x, Tensor) and x.dim() else x, tree)


def _chance_of_forward(program: Program, looked: Taken) -> float | None:
    """The loss that ``forward`` makes of a constant output; None where it asks for more than one.

    Or where it makes its loss of something else than the model's output.
    """
    assert program.forward is not None
    calls = []

    def rest(module: nn.Module, args: Any, output: Any) -> Any:
        calls.append(output)
        return uninformed(output, looked)

    handle = program.model.register_forward_hook(rest)
    try:
        with torch.no_grad():
            loss = program.forward(program.model, copied(program.batch))
            chance = float(loss)
    except Exception:
        # A constant output may lie outside of what the loss is defined for.
        return None
    finally:
        handle.remove()
    return chance if len(calls) == 1 and math.isfinite(chance) else None


def _classes_at(chance: float | None, output: Any) -> int | None:
    """The number of classes whose logarithm is the chance level."""
    logits = main_tensor(output) if output is not None else None
    if chance is None or not isinstance(logits, Tensor) or logits.dim() < 2:
        return None
    sizes = {logits.shape[-1], logits.shape[1]} - {1}
    return next((n for n in sizes if math.isclose(chance, math.log(n), rel_tol=1e-4)), None)


def _has_own_loss(output: Any) -> bool:
    if isinstance(output, Tensor):
        return False
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    return isinstance(own, Tensor)


def _at_rest(node: Node) -> float | None:
    """What a squashing operation gives where it prefers nothing."""
    if "softmax" in node.operator:
        share = 1 / max(node.width, 1)
        return math.log(share) if "log" in node.operator else share
    return 0.5 if node.nonlinearity == "sigmoid" else None


def _classes(output: Any, targets: Any, *, nothing_to_lose: bool) -> int | None:
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor) or output.dim() < 2:
        return None
    if targets.is_floating_point():
        return None
    if output.numel() == targets.numel():
        # A cross-entropy over one class is zero, whatever the output.
        return 1 if nothing_to_lose else None
    is_last = output.shape[:-1] == targets.shape
    return int(output.shape[-1 if is_last else 1])
