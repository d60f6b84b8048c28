"""Layers that the loss depends on through numbers alone, over which no gradient comes back."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.dependence.passes import Passes, redrawn
from pytest_initcheck.evidence import Observed
from pytest_initcheck.evidence.gradient_flow import leading_to

# What rounding moves of a sum of single precision, relative to it.
_ROUNDING = 1e-6


def value_only_layers(program: Program, evidence: Observed) -> tuple[str, ...]:
    """The layers that no traced path leads from to what is minimised, and that yet move the loss.

    A pass, and one for each layer that ran, that the optimiser holds and that got no gradient;
    none where there is no such layer. The model is put back.
    """
    asked = _unled(evidence)
    if not asked or (program.forward is not None and evidence.is_default_optimizer):
        return ()
    try:
        before = Passes(program).reference().loss.double()
        return tuple(n for n in asked if _moves_loss(program, evidence, n, before))
    except Exception:
        # Code that works with numbers may refuse others.
        return ()


def _unled(evidence: Observed) -> list[str]:
    leading = leading_to(evidence, evidence.objective_nodes)
    led = {node.layer for node in evidence.nodes if node.is_layer and node.index in leading}
    looks = evidence.start.parameters
    return [
        layer
        for layer in evidence.order
        if evidence.objective_nodes
        and layer not in led
        and any(evidence.rates.get(p.name) for p in evidence.trainable(layer))
        and all(looks[p.name].gradient is None for p in evidence.trainable(layer))
    ]


def _moves_loss(program: Program, evidence: Observed, layer: str, before: Tensor) -> bool:
    names = {p.name for p in evidence.trainable(layer)}
    with preserved(program.model), torch.no_grad():
        redrawn(parameter for name, parameter in program.model.named_parameters() if name in names)
        after = Passes(program).reference().loss.double()
    return bool((after - before).abs() > _ROUNDING * before.abs())
