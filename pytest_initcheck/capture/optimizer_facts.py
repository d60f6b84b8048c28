"""What an optimiser holds of a model, and whether its steps keep the weights finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.layer_names import layer_of
from pytest_initcheck.capture.learning_rate import rate_of
from pytest_initcheck.capture.pieces import pieces
from pytest_initcheck.evidence import OptimizerFacts

# A sum of squares from which on those that single precision does not hold are no part of it.
_RESOLVED = 1e-24


def optimizer_facts(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, is_empty: bool
) -> OptimizerFacts:
    """What the optimiser holds; gradients of the first look are in place."""
    mine = [p for p in model.parameters() if p.requires_grad]
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    unused = [tensor for tensor in foreign(model, optimizer) if tensor.grad is None]
    return OptimizerFacts(
        foreign=len(unused),
        is_empty=is_empty or not any(id(p) in held for p in mine),
        is_descent=isinstance(optimizer, torch.optim.SGD),
        decay=decay_per_step(optimizer),
    )


def foreign(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """What the optimiser holds and the model does not."""
    own = {id(parameter) for parameter in model.parameters()}
    held = (tensor for group in optimizer.param_groups for tensor in group["params"])
    return [tensor for tensor in held if id(tensor) not in own]


def broken_layers(model: nn.Module) -> tuple[str, ...]:
    """The layers whose weights are not finite; one host read where all are."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad and p.numel()]
    if not named or all(_flags(p for _, p in named)):
        return ()
    bad = [name for name, p in named if not all(_flags([p]))]
    return tuple(dict.fromkeys(layer_of(name) for name in bad))


def _flags(parameters: Iterable[Tensor]) -> list[bool]:
    # The sum of finite weights overflows only where they are of no use either.
    sums = [p.detach().to_dense().sum() if p.is_sparse else p.detach().sum() for p in parameters]
    by_device: dict[torch.device, list[Tensor]] = {}
    for total in sums:
        by_device.setdefault(total.device, []).append(total.abs().float())
    return [f for part in by_device.values() for f in torch.stack(part).isfinite().tolist()]


def direction(model: nn.Module, starts: Mapping[str, Tensor]) -> float | None:
    """The cosine between the first step and the gradient: −1 for gradient descent."""
    pairs = [
        (parameter.detach(), starts[name].to(parameter.device), parameter.grad.detach())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
        and parameter.grad.layout == torch.strided
        and name in starts
        and parameter.numel()
    ]
    if not pairs:
        return None
    found = [_products(*each) for trio in pairs for each in pieces(*trio)]
    product, step, slope = torch.stack([part.cpu() for part in found]).sum(0).tolist()
    size = (step * slope) ** 0.5
    # What rounding adds in single precision is no part of a cosine.
    return max(-1.0, min(1.0, product / size)) if 0 < size < float("inf") else None


def _products(after: Tensor, before: Tensor, slope: Tensor) -> Tensor:
    """The step times the gradient, and the squares of both.

    In double precision where the squares of small steps vanish in single, or large ones overflow.
    """
    step = after - before
    if step.dtype == slope.dtype == torch.float32 and step.device.type == "cpu":
        found = _dots(step, slope)
        if all(_RESOLVED < square < math.inf for square in found[1:].tolist()):
            return found
    return _dots(step.double(), slope.double())


def _dots(step: Tensor, slope: Tensor) -> Tensor:
    parts = torch.dot(step, slope), torch.dot(step, step), torch.dot(slope, slope)
    return torch.stack(parts).double()


def decay_per_step(optimizer: torch.optim.Optimizer) -> float:
    """The part of a weight that decay takes in a step, where it is taken of the weights alone.

    Adaptive methods that add the decay to the gradient move by their rate at most.
    """
    found = [0.0]
    for group in optimizer.param_groups:
        is_adaptive = "betas" in group or "alpha" in group or "lr_decay" in group
        is_taken_alone = group.get("decoupled_weight_decay") or isinstance(
            optimizer, torch.optim.AdamW
        )
        if is_taken_alone or not is_adaptive:
            found.append(rate_of(group) * float(group.get("weight_decay", 0.0) or 0.0))
    return max(part for part in found if not math.isnan(part))
