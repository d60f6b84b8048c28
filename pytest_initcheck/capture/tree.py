"""Batches and outputs as trees of tensors: copied, moved, searched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_map


def copied(tree: Any) -> Any:
    """The same structure with every tensor replaced by a copy."""
    return mapped(lambda t: t.detach().clone().requires_grad_(t.requires_grad), tree)


def mapped(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same structure with every tensor changed, in mappings of any class too."""

    def leaf(value: Any) -> Any:
        if isinstance(value, MutableMapping):
            found = copy.copy(value)
            found.update({key: mapped(change, item) for key, item in value.items()})
            return found
        if isinstance(value, PackedSequence):
            return value._replace(data=change(value.data))
        return change(value) if isinstance(value, Tensor) else value

    # The usual batch, without what a walk through a tree costs.
    if type(tree) is tuple and all(type(part) is Tensor for part in tree):
        return tuple(change(part) for part in tree)
    return tree_map(leaf, tree)


def _leaves(tree: Any) -> list[Any]:
    found = (_leaves(dict(leaf)) if isinstance(leaf, Mapping) else [leaf]
             for leaf in tree_leaves(tree))  # fmt: skip
    return [leaf for leaves in found for leaf in leaves]


def tensors_of(tree: Any) -> list[Tensor]:
    """All tensors in a nest of tuples, lists and mappings; model outputs with attributes too."""
    found = [leaf for leaf in _leaves(tree) if isinstance(leaf, Tensor)]
    if not found and hasattr(tree, "__dict__"):
        found = [value for value in vars(tree).values() if isinstance(value, Tensor)]
    return found


def main_tensor(output: Any) -> Any:
    """The tensor that a loss is meant for: "logits", "out" or the first floating one."""
    if isinstance(output, Tensor):
        return output
    for name in ("logits", "out"):
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(value, Tensor):
            return value
    floating = (tensor for tensor in tensors_of(output) if tensor.is_floating_point())
    return next(floating, output)


def moved(tree: Any, device: torch.device) -> Any:
    """The same structure with every tensor on ``device``."""
    return mapped(lambda tensor: tensor.to(device), tree)
