"""What the operators of the dispatcher do with weights: which mix, along which axis, how wide."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

from pytest_initcheck.ranks.dtensors import local

# Operators that mix features through a weight; everything else scales, shifts or moves data.
MIXING = {
    "addmm", "mm", "bmm", "baddbmm", "addbmm", "matmul", "linear", "mv", "addmv", "dot",
    "convolution", "_convolution", "mkldnn_rnn_layer", "_cudnn_rnn", "embedding", "_embedding_bag",
    "_embedding_bag_forward_only", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "_trilinear",
    "miopen_rnn", "_sparse_addmm", "_grouped_mm",
}  # fmt: skip


# Which axis of the weight counts the outputs; None: to be seen from the strides.
UNIT_AXES: dict[str, int | None] = {
    "addmm": None, "mm": None, "mv": 0, "addmv": 0, "linear": 0, "convolution": 0,
    "_convolution": 0, "mkldnn_rnn_layer": 0, "_cudnn_rnn": 0, "_thnn_fused_lstm_cell": 0,
    "_thnn_fused_gru_cell": 0, "bmm": -1, "baddbmm": -1,
}  # fmt: skip
LEAVES = frozenset(
    {bool, int, float, complex, str, type(None), torch.dtype, torch.device, torch.Size}
)
# Weights of several layers in one tensor, along its first axis.
STACKED = ("bmm", "baddbmm")


def name_of(func: Any, args: tuple[Any, ...]) -> str:
    """The operator's name; a root by its exponent is called as the root that it is."""
    name: str = func.overloadpacket.__name__
    if name != "pow":
        return name
    exponent = args[1] if len(args) > 1 else None
    return "rsqrt" if isinstance(exponent, float) and exponent == -0.5 else name


def less_defaults(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments without those at the end that are what is taken where none are given.

    The dispatcher leaves them out itself, but for those before a tensor that is not there.
    """
    if not args or args[-1] is not None:
        return args
    known, count = func._schema.arguments, len(args)
    while count and not isinstance(args[count - 1], Tensor):
        if not known[count - 1].has_default_value():
            break
        if args[count - 1] != known[count - 1].default_value:
            break
        count -= 1
    return args[:count]


def is_selection(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex())


def is_softmax(operator: str) -> bool:
    """Whether an operator is a softmax or its logarithm, and no derivative of one."""
    return "softmax" in operator and "backward" not in operator


def width_of(operator: str, args: tuple[Any, ...]) -> int:
    """Over how many values a softmax or a normalisation runs; 0 for other operators."""
    first = args[0] if args else None
    if not isinstance(first, Tensor):
        return 0
    if is_softmax(operator):
        return int(first.shape[args[1]]) if first.dim() else 1
    if operator == "native_layer_norm":
        return math.prod(args[1])
    if operator == "native_group_norm":
        count: int = args[4] * args[5] // args[6]
        return count
    return 0


def axis_of(operator: str, args: tuple[Any, ...]) -> int:
    """The axis of a softmax, counted from the end; -1 for other operators."""
    if not is_softmax(operator) or not args or not isinstance(args[0], Tensor):
        return -1
    axis, count = int(args[1]), max(args[0].dim(), 1)
    return axis if axis < 0 else axis - count


def unit_axis(operator: str, tensor: Tensor) -> int | None:
    axis = UNIT_AXES[operator]
    if operator in STACKED:
        # Expanded over the batch it is one layer, whose view says nothing of its own shape.
        is_stack = tensor.dim() > 2 and tensor.stride(0) != 0
        return (-1 if tensor.stride(-1) == 1 else -2) if is_stack else None
    # A transposed view of a matrix says that its first axis counts the outputs.
    if axis is None and tensor.dim() == 2:
        return 0 if _is_transposed(tensor) else 1
    return axis


def _is_transposed(matrix: Tensor) -> bool:
    rows, (down, along) = matrix.shape[0], matrix.stride()
    return down == 1 and (along != 1 or rows == 1)


def flat_tensors(tree: Any) -> list[Tensor]:
    """The tensors among the arguments or results of a call."""
    if isinstance(tree, Tensor):
        return [tree]
    found: list[Tensor] = []
    _collect(tree, found)
    return found


def tensors_among(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments of a call, in their order."""
    found: list[Tensor] = []
    for item in args:
        if isinstance(item, Tensor):
            found.append(item)
        elif type(item) not in LEAVES:
            _collect(item, found)
    if kwargs:
        _collect(kwargs, found)
    return found


def _collect(tree: Any, found: list[Tensor]) -> None:
    # What torch has for trees takes ten times as long, and this runs for every operator.
    if isinstance(tree, Tensor):
        found.append(tree)
    elif type(tree) in (tuple, list):
        for item in tree:
            _collect(item, found)
    elif type(tree) is dict:
        for item in tree.values():
            _collect(item, found)
    elif type(tree) not in LEAVES:
        found.extend(leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def storage_key(tensor: Tensor) -> int:
    """What tells one storage from another while both are alive; 0 where there is none."""
    try:
        if type(tensor) is not Tensor:
            tensor = local(tensor)
        key: int = tensor.untyped_storage()._cdata
        return key
    except (NotImplementedError, RuntimeError, AttributeError):
        return 0


def parts_read(tensors: list[Tensor], makers: list[int | None]) -> frozenset[tuple[int, int]]:
    """The views of what nodes made that an operator reads: the node, and which part of it."""
    strided = torch.strided
    return frozenset(
        [
            (maker, hash((tensor.storage_offset(), tensor.shape, tensor.stride())))
            for tensor, maker in zip(tensors, makers, strict=True)
            if maker is not None and tensor.layout == strided
        ]
    )


class Storages:
    """Tells storages apart by where they lie, for as long as it lives itself."""

    def __init__(self) -> None:
        # The weak references keep the addresses from being used again.
        self._held: dict[int, StorageWeakRef] = {}

    def held(self, tensor: Tensor) -> int:
        """The `storage_key` of a tensor, which no other storage gets from now on."""
        key = storage_key(tensor)
        if key and key not in self._held:
            self._held[key] = StorageWeakRef(local(tensor).untyped_storage())
        return key
