"""What an optimiser holds of a model, and whether its steps keep the weights finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.learning_rate import rate_of
from pytest_initcheck.capture.trace import layer_of
from pytest_initcheck.evidence import OptimizerFacts

_PIECE = 1 << 16


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
    found = [
        _products(parameter.detach() - starts[name].to(parameter.device), parameter.grad.detach())
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
        and parameter.grad.layout == torch.strided
        and name in starts
        and parameter.numel()
    ]
    if not found:
        return None
    product, step, slope = torch.stack([part.cpu() for part in found]).sum(0).tolist()
    size = (step * slope) ** 0.5
    return product / size if 0 < size < float("inf") else None


def _products(a: Tensor, b: Tensor) -> Tensor:
    """a·b, a·a and b·b in double precision, in which the squares of small steps do not vanish."""
    total = torch.zeros(3, dtype=torch.float64, device=a.device)
    # Pieces that stay in the cache are copied in no time.
    for x, y in zip(a.reshape(-1).split(_PIECE), b.reshape(-1).split(_PIECE), strict=True):
        x, y = x.double(), y.double()
        total += torch.stack([torch.dot(x, y), torch.dot(x, x), torch.dot(y, y)])
    return total


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
