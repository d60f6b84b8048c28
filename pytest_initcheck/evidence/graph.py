"""The forward graph of a model: its traced operations, and what mixed up their axes."""

from __future__ import annotations

import functools
from dataclasses import dataclass

_NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")
# What normalisations are made of where they are written by hand.
_ROOTS = ("rsqrt", "linalg_vector_norm", "norm")


@dataclass(frozen=True, kw_only=True)
class Node:
    """One traced operation. ``inputs`` are indices of earlier nodes; -1 stands for the batch.

    ``width`` is over how many values a softmax or a normalisation runs, 0 elsewhere;
    ``shut_off`` marks what ran under ``torch.no_grad``, and
    ``selects`` marks indices and masks, through which no gradient can pass; ``axis`` is the one
    along which a softmax runs, counted from the end; ``reads`` tells the parts of earlier nodes
    that it reads, by the node and by what identifies a view of it;
    ``constants`` are its arguments that are no tensors.
    """

    index: int
    operator: str
    owner: str
    inputs: tuple[int, ...]
    params: tuple[str, ...] = ()
    layer: str = ""
    is_layer: bool = False
    nonlinearity: str = ""
    shape: tuple[int, ...] = ()
    width: int = 0
    selects: bool = False
    shut_off: bool = False
    axis: int = -1
    reads: frozenset[tuple[int, int]] = frozenset()
    constants: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """A reshape that laid axes across each other, before something read one of them by meaning.

    ``before`` are the sizes of the axes that the program had made, ``after`` those that it took
    for them. Probably meant was to cut ``before`` into ``parts``, permute these to ``order``, and
    join them; ``is_shuffle`` says that a pixel_shuffle was. ``reader`` read it, in ``read_in``.
    ``owner`` and ``read_in`` are None outside of the model, as in the loss.
    """

    owner: str | None
    operator: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    parts: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    is_shuffle: bool = False
    is_certain: bool = True
    reader: str = ""
    read_in: str | None = None


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Two of one axis of the program where one was meant.

    A broadcast that no axis was put in for has laid it along both, or a product sums over the other
    one than the softmax that made its weights. ``shapes`` are those of what was combined, ``shape``
    that of the result; ``owner`` is the module, None outside of the model.
    """

    owner: str | None
    operator: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    shape: tuple[int, ...]


def is_norm(node: Node) -> bool:
    """Whether a traced operation normalises data with a gain and a bias of its own."""
    return _names_norm(node.operator)


@functools.cache
def _names_norm(operator: str) -> bool:
    return any(norm in operator for norm in _NORMS)


def normalises(node: Node) -> bool:
    """Whether a traced operation normalises data, or is the root or norm that another does by."""
    return is_norm(node) or node.operator.rstrip("_") in _ROOTS
