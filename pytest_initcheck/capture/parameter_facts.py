"""What is known of every parameter before the first step."""

from __future__ import annotations

from torch import nn

from pytest_initcheck.capture.trace import Tracer
from pytest_initcheck.evidence import Parameter
from pytest_initcheck.evidence.layer_names import ROOT, layer_of
from pytest_initcheck.ranks.dtensors import class_of


def describe_parameter(model: nn.Module, tracer: Tracer) -> dict[str, Parameter]:
    """What is known of every parameter before the first step, once where it is tied."""
    modules = {ROOT: model, **dict(model.named_modules())}
    kinds = {name: class_of(module).__name__ for name, module in modules.items()}
    groups = {name: _groups_of(module) for name, module in modules.items()}
    found = {}
    for name, parameter in model.named_parameters():
        layer, axis, shape = layer_of(name), tracer.axes.get(name), tuple(parameter.shape)
        is_stack = axis is not None and axis < 0 and len(shape) > 2
        units = 0 if axis is None else shape[axis] * (shape[0] if is_stack else 1)
        fan_in = parameter.numel() // max(units, 1) if axis is not None else 0
        found[name] = Parameter(
            name=name,
            layer=layer,
            kind=kinds.get(layer, "Parameter"),
            shape=shape,
            trainable=parameter.requires_grad,
            axis=axis,
            fan_in=fan_in,
            groups=groups.get(layer, 1),
        )
    return found


def _groups_of(module: nn.Module) -> int:
    # Others call something else so, such as layers of their own.
    groups = getattr(module, "groups", 1)
    return groups if isinstance(groups, int) else 1
