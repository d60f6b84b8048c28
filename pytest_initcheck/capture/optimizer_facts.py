"""What an optimiser holds of a model, and whether its steps keep the weights finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.learning_rate import rate_of
from pytest_initcheck.capture.pieces import pieces
from pytest_initcheck.evidence import OptimizerFacts
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.ranks.buckets import at_hand
from pytest_initcheck.ranks.dtensors import whole

# A sum of squares from which on those that single precision does not hold are no part of it.
_RESOLVED = 1e-24

# Torch's optimisers that add the decay to the gradient; what others do with it is not known.
_COUPLED = (
    *(torch.optim.SGD, torch.optim.ASGD, torch.optim.Adam, torch.optim.NAdam, torch.optim.RAdam),
    *(torch.optim.Adamax, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.RMSprop),
)


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
        decay_share=decay_share(optimizer),
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
    values = (whole(p) for (p,) in at_hand((p,) for p in parameters))
    sums = [p.to_dense().sum() if p.is_sparse else p.sum() for p in values]
    by_device: dict[torch.device, list[Tensor]] = {}
    for total in sums:
        by_device.setdefault(total.device, []).append(total.isfinite())
    return [f for part in by_device.values() for f in torch.stack(part).tolist()]


def direction(model: nn.Module, starts: Mapping[str, Tensor]) -> float | None:
    """The cosine between the first step and the gradient: −1 for gradient descent."""
    trios = (
        (parameter, starts[name].to(parameter.device), parameter.grad)
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
        and parameter.grad.layout == torch.strided
        and name in starts
        and parameter.numel()
    )
    found = [
        _products(*each) for trio in at_hand(trios) for each in pieces(*(whole(t) for t in trio))
    ]
    if not found:
        return None
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
        if _is_decoupled(optimizer, group) or not is_adaptive:
            found.append(rate_of(group) * _decay(group))
    return max(part for part in found if not math.isnan(part))


def decay_share(optimizer: torch.optim.Optimizer) -> float:
    """Decay that is added to the gradient, over that gradient; 0 without such a decay.

    Norms over all values to which the loss gives a gradient: rows of an embedding that the batch
    does not read are decayed, too, but say nothing of how the two weigh.
    """
    squares = [
        _pull_and_slope(p, _decay(group))
        for group in optimizer.param_groups
        if _decay(group) and _is_coupled(optimizer, group)
        for p in group["params"]
        if p.grad is not None and p.grad.layout == torch.strided and not p.is_complex()
    ]
    if not squares:
        return 0.0
    pull, slope = torch.stack([each.cpu() for each in squares]).sum(0).sqrt().tolist()
    return pull / slope if slope else 0.0


def _pull_and_slope(parameter: Tensor, decay: float) -> Tensor:
    slope = parameter.grad.detach().double()  # type: ignore[union-attr]
    pull = decay * parameter.detach().double() * (slope != 0)
    return torch.stack([pull.square().sum(), slope.square().sum()])


def _decay(group: Mapping[str, Any]) -> float:
    return float(group.get("weight_decay", 0.0) or 0.0)


def _is_coupled(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> bool:
    return isinstance(optimizer, _COUPLED) and not _is_decoupled(optimizer, group)


def _is_decoupled(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> bool:
    return bool(group.get("decoupled_weight_decay")) or isinstance(optimizer, torch.optim.AdamW)
