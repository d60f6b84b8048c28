"""Facts about modules that no look can see: what an initialiser wrote where it has no effect."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.weight_norm import WeightNorm

# A rate of dropout from which on less than a tenth comes through.
_MOST = 0.9


def module_anomalies(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Names of modules by what is odd about them: "overwritten" weights, "padding" rows.

    Call it before the first forward pass, which writes normalised weights anew.
    """
    found: dict[str, list[str]] = {}
    with torch.no_grad():
        for name, module in model.named_modules():
            for kind in _kinds(module):
                found.setdefault(kind, []).append(name)
    return {kind: tuple(names) for kind, names in found.items()}


def _kinds(module: nn.Module) -> Iterator[str]:
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
        row = module.weight[module.padding_idx]
        if not row.is_meta and bool(row.count_nonzero()):
            yield "padding"
    if isinstance(module, _DropoutNd) and _MOST <= module.p < 1:
        yield "dropping"
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and _is_stale(module, hook):
            yield "overwritten"


def _is_stale(module: nn.Module, hook: WeightNorm) -> bool:
    shown, made = getattr(module, hook.name), hook.compute_weight(module)
    return not torch.allclose(shown, made, rtol=1e-4, atol=1e-6)
