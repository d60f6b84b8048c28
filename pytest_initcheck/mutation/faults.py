"""Ten faults of a start, each planted into any model that it applies to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

# A transposed fan that changes no deviation by this factor is none.
_LEAST_RATIO = 1.5
# No activation comes back from there, whatever the inputs.
_FAR = 1e4


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault: ``plant`` puts it into a model, and says whether the model has a place for it."""

    name: str
    what: str
    plant: Callable[[nn.Module], bool]


def _weights(model: nn.Module) -> list[Tensor]:
    """Trainable weights of two dimensions and more, in the model's order, embeddings left out."""
    tables = {
        id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))
    }
    return [
        weight
        for weight in model.parameters()
        if not is_lazy(weight)
        and weight.dim() > 1
        and weight.requires_grad
        and weight.is_floating_point()
        and id(weight) not in tables
    ]


def _hidden(model: nn.Module) -> list[Tensor]:
    """The weights but the last, where there are two."""
    return _weights(model)[:-1]


def _layers(model: nn.Module) -> list[nn.Module]:
    """The modules that hold hidden weights."""
    hidden = {id(weight) for weight in _hidden(model)}
    return [
        module
        for module in model.modules()
        if any(id(weight) in hidden for weight in module.parameters(recurse=False))
    ]


def _middle(items: Sequence[Any]) -> Any:
    return items[(len(items) - 1) // 2]


def _zero(model: nn.Module) -> bool:
    hidden = _hidden(model)
    for parameter in model.parameters() if hidden else ():
        if not is_lazy(parameter):
            parameter.zero_()
    return bool(hidden)


def _constant(model: nn.Module) -> bool:
    hidden = [weight for weight in _hidden(model) if weight.shape[0] > 1]
    for weight in hidden:
        weight.fill_(float(weight.abs().mean()))
    return bool(hidden)


def _too_large(model: nn.Module) -> bool:
    weights = _weights(model)
    for weight in weights:
        weight.mul_(10)
    return bool(weights)


def _dead_bias(model: nn.Module) -> bool:
    biased = [m for m in _layers(model) if isinstance(getattr(m, "bias", None), Tensor)]
    if biased:
        _middle(biased).bias.fill_(-_FAR)
    return bool(biased)


def _detached(model: nn.Module) -> bool:
    layers = _layers(model)
    if layers:
        _middle(layers).register_forward_hook(lambda _, __, output: _without_graph(output))
    return bool(layers)


def _without_graph(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, tuple):
        return tuple(_without_graph(item) for item in output)
    return output


def _copied(model: nn.Module) -> bool:
    """Units alike in what comes in and in what goes out, so that they stay so."""
    weights = _weights(model)
    for hidden in weights[:-1]:
        hidden.copy_(hidden[:1].clone().expand_as(hidden))
    for later in weights[1:]:
        later.copy_(later[:, :1].clone().expand_as(later))
    for layer in _layers(model):
        if isinstance(getattr(layer, "bias", None), Tensor):
            bias: Any = layer.bias
            bias.zero_()
    return len(weights) > 1


def _frozen(model: nn.Module) -> bool:
    hidden = _hidden(model)
    for weight in hidden:
        weight.requires_grad_(False)
    return bool(hidden)


def _unscaled(model: nn.Module) -> bool:
    """Weights that lead from a width back to it write, in a deep model, to a stream."""
    writers = [weight for weight in _hidden(model) if weight.shape[0] == weight.shape[1]]
    for weight in writers:
        weight.mul_(math.sqrt(2 * max(len(writers), 4)))
    return bool(writers)


def _wrong_fan(model: nn.Module) -> bool:
    ratios = [(weight, weight[0].numel() / weight.shape[0]) for weight in _weights(model)]
    wrong = [(w, r) for w, r in ratios if max(r, 1 / r) >= _LEAST_RATIO**2]
    for weight, ratio in wrong:
        weight.mul_(math.sqrt(ratio))
    return bool(wrong)


def _nan(model: nn.Module) -> bool:
    weights = _weights(model)
    if weights:
        _middle(weights).view(-1)[0] = math.nan
    return bool(weights)


FAULTS: tuple[Fault, ...] = (
    Fault(name="zero", what="every parameter is zero", plant=_zero),
    Fault(name="constant", what="hidden weights are one number each", plant=_constant),
    Fault(name="x10", what="every weight is ten times as large", plant=_too_large),
    Fault(name="dead-bias", what="a layer's bias lies far below zero", plant=_dead_bias),
    Fault(name="detached", what="a layer's output leaves the graph", plant=_detached),
    Fault(name="copied", what="all units of hidden layers are the first one", plant=_copied),
    Fault(name="frozen", what="hidden weights take no gradient", plant=_frozen),
    Fault(name="unscaled-residual", what="square weights grow with the depth", plant=_unscaled),
    Fault(name="wrong-fan", what="fan-out in place of fan-in", plant=_wrong_fan),
    Fault(name="nan", what="one weight is NaN", plant=_nan),
)


def plant(fault: Fault, model: nn.Module) -> bool:
    """Put it into the model; False where the model has no place for it."""
    with torch.no_grad():
        return fault.plant(model)
