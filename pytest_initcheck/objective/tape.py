"""A tape of the calls between the last layers and the loss, which can be played again."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from pytest_initcheck.capture.modes import Arguments, FunctionMode, Options
from pytest_initcheck.capture.operators import LEAVES, flat_tensors, tensors_among

_TABLES = frozenset({"embedding", "embedding_bag"})
# Calls that apply a weight: what they make is free, whatever came before them.
_LAYERS = frozenset(
    {
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
        "conv_transpose3d", "embedding", "embedding_bag", "bilinear", "layer_norm", "batch_norm",
        "group_norm", "instance_norm", "rms_norm", "multi_head_attention_forward", "lstm", "gru",
        "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
    }
)  # fmt: skip
# Calls that do so where one of their arguments is a parameter.
_PRODUCTS = frozenset(
    {
        "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "mv", "baddbmm", "addbmm",
        "einsum", "tensordot", "chain_matmul", "inner", "dot",
    }
)  # fmt: skip
_NORMS = frozenset({"normalize", "norm", "linalg_norm", "linalg_vector_norm", "vector_norm"})
# Calls that hand a parameter on as it is.
_VIEWS = frozenset(
    {
        "t", "T", "mT", "transpose", "permute", "view", "reshape", "unsqueeze", "squeeze",
        "expand", "__getitem__", "to", "float", "contiguous", "flatten", "narrow", "unbind",
        "chunk", "split",
    }
)  # fmt: skip
# Calls that take the shape of a tensor, and none of its values.
_SHAPED = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like",
     "randint_like", "new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"}
)  # fmt: skip
# Calls that take the shape or the type of all tensors but the first.
_LIKE = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})
_RANDOM = frozenset(
    {
        "bernoulli", "normal", "multinomial", "poisson", "uniform", "exponential", "cauchy",
        "log_normal", "geometric", "random", "gumbel_softmax", "rrelu",
    }
)  # fmt: skip

Kind = Literal["call", "constant", "data", "head", "parameter"]


@dataclass(kw_only=True, eq=False)
class Value:
    """A tensor on the tape: made by a call, constant, from the batch, or free.

    Free are heads, which a layer made or code that the tape cannot see, and parameters. ``key``
    tells one free value from another; ``tensor`` is held where no call makes it; ``origins``
    are the tensors of the batch that data come from, by their place in it. ``is_cut``: it was
    made of free values, and no gradient leads back to them. ``maker`` tells by which weight a
    layer made a head, as which of its results, and in which of its uses within a call of the model.
    ``slope_of`` are the heads of which `torch.autograd.grad` made it a derivative, in itself or in
    a sum or product with data. ``is_taught``: layers without a gradient made it of the batch.
    """

    kind: Kind
    tensor: Tensor | None = None
    call: TapeCall | None = None
    place: int = 0
    name: str = ""
    key: int | str = ""
    origins: frozenset[int] = frozenset()
    is_cut: bool = False
    maker: tuple[int | str, int, int] | None = None
    slope_of: frozenset[int | str] = frozenset()
    is_taught: bool = False

    @property
    def is_free(self) -> bool:
        """Whether training can change it."""
        return self.kind in ("head", "parameter") or (self.call is not None)


@dataclass(eq=False, kw_only=True)
class TapeCall:
    """One call of a torch function, its tensors replaced by values of the tape.

    ``shapes`` are those of its tensors, then of its results; ``is_of_weights`` says that it
    depends on parameters alone, ``is_normed`` that a normalisation is among what made it.
    """

    name: str
    func: Any
    args: Any
    kwargs: Any
    inputs: list[Value]
    shapes: list[tuple[int, ...]]
    results: list[tuple[int, ...]]
    is_of_weights: bool = False
    is_normed: bool = False


class Tape(FunctionMode):
    """Records calls of torch functions; only what the loss may still need stays in memory.

    A call is kept by what it made, so that it goes when its results do.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._values: dict[int, tuple[weakref.ref[Tensor], Value]] = {}
        self._parameters = {id(p): name for name, p in model.named_parameters()}
        self._data: dict[int, Tensor] = {}
        self._places: dict[int, int] = {}
        self._keys = itertools.count()
        self._uses = Counter[int | str]()

    def restart(self, *_: Any) -> None:
        """The model is called, for the first time or again."""
        self._uses.clear()

    def add_data(self, tensors: list[Tensor]) -> None:
        """Mark the tensors of the batch."""
        self._data.update({id(tensor): tensor for tensor in tensors})
        self._places.update({id(tensor): place for place, tensor in enumerate(tensors)})

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        given = tensors_among(args, kwargs)
        # Other modes, which may stand around this one, need not see what is asked of a tensor.
        with torch._C.DisableTorchFunction():
            # What a call in place receives has to be known before it changes.
            inputs = {id(tensor): self.value_of(tensor) for tensor in given}
            if given and (_works_in_place(func) or kwargs.get("inplace")):
                _keep(inputs[id(given[0])])
        out = func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            results = given[:1] if call_name(func) == "__setitem__" else flat_tensors(out)
            if given and results:
                shapes = [tuple(tensor.shape) for tensor in given]
                self._note(func, (args, kwargs), inputs, results, shapes)
        return out

    def _note(
        self,
        func: Any,
        arguments: Any,
        inputs: dict[int, Value],
        results: list[Tensor],
        shapes: list[tuple[int, ...]],
    ) -> None:
        values = list(inputs.values())
        if len(results) == 1 and results[0].requires_grad and _is_ordinary(func):
            step = _step(func, arguments, inputs, shapes, results[0])
            if step is not None:
                held = results[0] if results[0].dim() == 0 else None
                self._put(
                    results[0], Value(kind="call", tensor=held, call=step, key=next(self._keys))
                )
                return
        name = call_name(func)
        values = values[:1] if name in _LIKE else values
        free = [value for value in values if value.is_free]
        is_free = bool(free)
        kind = self._kind(name, values) if free else "head"
        made = [tuple(result.shape) for result in results]
        call = _recorded(func, arguments, inputs, shapes, made) if kind == "call" else None
        is_data = not is_free and any(value.kind == "data" for value in values)
        is_data = is_data and name not in _SHAPED
        is_taught = name in _LAYERS - _TABLES or any(value.is_taught for value in values)
        origins = frozenset().union(*[value.origins for value in values if value.origins])
        is_cut = is_free or any(value.is_cut for value in values)
        slope_of = _slope_of(name, values)
        weight = _weight(values) if kind == "head" else ""
        self._uses[weight] += 1
        for place, result in enumerate(results):
            # Data from which the caller asks for a gradient remain data.
            if not result.requires_grad or (is_data and name not in ("grad",)):
                # What takes no gradient is a constant to the training.
                kept = Value(kind="data", origins=origins) if is_data else Value(kind="constant")
                if is_cut or is_taught:
                    kept = dataclasses.replace(
                        kept, is_cut=is_cut, slope_of=slope_of, is_taught=is_taught and is_data
                    )
                self._put(result, kept)
            elif kind == "parameter":
                self._put(result, Value(kind="parameter", name=values[0].name, key=id(result)))
            else:
                opaque = name if name == "grad" else ""
                # Terms of a sum, whose gradients may be asked for.
                held = result if kind == "call" and result.dim() == 0 else None
                value = Value(
                    kind=kind,
                    tensor=held,
                    call=call,
                    place=place,
                    name=opaque,
                    key=next(self._keys),
                    maker=(weight, place, self._uses[weight]) if weight != "" else None,
                    slope_of=slope_of if opaque else frozenset(),
                )
                self._put(result, value)

    def _kind(self, name: str, values: list[Value]) -> Kind:
        """What a call on free values makes: a head, a parameter seen otherwise, or what has to be
        played again."""
        if name == "grad" or _is_random(name):
            return "head"
        if name in _VIEWS and len(values) == 1 and values[0].kind == "parameter":
            return "parameter"
        weights = [value for value in values if _is_of_weights(value)]
        is_plain = any(not (value.call and value.call.is_normed) for value in weights)
        is_layer = name in _LAYERS and (is_plain or not weights)
        is_product = name in _PRODUCTS and is_plain and len(weights) < len(values)
        return "head" if is_layer or is_product else "call"

    def _put(self, tensor: Tensor, value: Value) -> None:
        # By identity, as a `WeakIdKeyDictionary` does it in ten times the time.
        key, values = id(tensor), self._values
        values[key] = weakref.ref(tensor, lambda _: values.pop(key, None)), value

    def _get(self, tensor: Tensor) -> Value | None:
        held = self._values.get(id(tensor))
        return held[1] if held is not None and held[0]() is tensor else None

    def value_of(self, tensor: Tensor) -> Value:
        """What a tensor is on the tape."""
        if id(tensor) in self._parameters:
            name = self._parameters[id(tensor)]
            kind: Kind = "parameter" if tensor.requires_grad else "constant"
            return Value(kind=kind, tensor=tensor, name=name, key=name)
        if id(tensor) in self._data:
            return Value(kind="data", tensor=tensor, origins=frozenset({self._places[id(tensor)]}))
        known = self._get(tensor)
        # What a custom function made without a gradient gets one when it is handed out.
        is_given = known is not None and known.kind == "constant" and tensor.grad_fn is not None
        if tensor.requires_grad and (known is None or is_given):
            known = Value(kind="head", key=next(self._keys))
            self._put(tensor, known)
        if known is None:
            return Value(kind="constant", tensor=tensor)
        held = None if known.kind == "call" and tensor.dim() else tensor
        if held is known.tensor:
            return known
        value: Value = dataclasses.replace(known, tensor=held)
        return value


def heads_behind(value: Value) -> frozenset[int | str]:
    """The keys of the heads that a value was made of, and of those that they are derivatives of."""
    found, stack, done = set[int | str](), [value], set[int]()
    while stack:
        item = stack.pop()
        if item.kind == "head":
            found |= {item.key, *item.slope_of}
        elif item.call is not None and id(item.call) not in done:
            done.add(id(item.call))
            stack += item.call.inputs
    return frozenset(found)


def _slope_of(name: str, values: list[Value]) -> frozenset[int | str]:
    """Of which heads the result of a call is a derivative, "grad" or what is made of one."""
    if name == "grad":
        return frozenset().union(*(heads_behind(value) for value in values if value.is_free))
    # What was cut on purpose beside it makes a target of both.
    if any(value.is_free or (value.is_cut and not value.slope_of) for value in values):
        return frozenset()
    return frozenset() if name == "detach" else frozenset().union(*(v.slope_of for v in values))


@functools.lru_cache(maxsize=4096)
def _is_ordinary(func: Any) -> bool:
    """Whether what a call makes of free values that no weight is among is always a call."""
    name = call_name(func)
    is_other = name in _LAYERS or name in _PRODUCTS or name == "grad"
    return not is_other and not _is_random(name)


def _step(
    func: Any,
    arguments: Any,
    inputs: dict[int, Value],
    shapes: list[tuple[int, ...]],
    result: Tensor,
) -> TapeCall | None:
    """The call that `_recorded` gives of such values; None of others.

    Loops make thousands of them.
    """
    name, values, is_free = call_name(func), [*inputs.values()], False
    is_normed = name in _NORMS
    for value in values:
        call = value.call
        if value.kind == "parameter" or (call is not None and call.is_of_weights):
            return None
        is_free = is_free or call is not None or value.kind == "head"
        is_normed = is_normed or (call is not None and call.is_normed)
    if not is_free:
        return None
    args, kwargs = arguments
    return TapeCall(
        name=name,
        func=func,
        args=tuple([_valued(item, inputs) for item in args]),
        kwargs=_valued(kwargs, inputs) if kwargs else {},
        inputs=values,
        shapes=shapes,
        results=[tuple(result.shape)],
        is_normed=is_normed,
    )


def _recorded(
    func: Any,
    arguments: Any,
    inputs: dict[int, Value],
    shapes: list[tuple[int, ...]],
    results: list[tuple[int, ...]],
) -> TapeCall:
    args, kwargs = _valued(arguments, inputs)
    name, values = call_name(func), list(inputs.values())
    free = [value for value in values if value.is_free]
    return TapeCall(
        name=name,
        func=func,
        args=args,
        kwargs=kwargs,
        inputs=values,
        shapes=shapes,
        results=results,
        is_of_weights=all(map(_is_of_weights, free)),
        is_normed=name in _NORMS or any(v.call and v.call.is_normed for v in free),
    )


def _valued(tree: Any, inputs: dict[int, Value]) -> Any:
    """The same structure with values of the tape for tensors."""
    # What torch has for trees takes ten times as long, and this runs for every call.
    if type(tree) in LEAVES:
        return tree
    if isinstance(tree, Tensor):
        return inputs[id(tree)]
    if type(tree) in (tuple, list):
        return type(tree)([_valued(item, inputs) for item in tree])
    if type(tree) is dict:
        return {key: _valued(item, inputs) for key, item in tree.items()}
    return tree_map(lambda x: inputs[id(x)] if isinstance(x, Tensor) else x, tree)


@functools.lru_cache(maxsize=4096)
def _works_in_place(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name != "__invert__")
    return bool(name.endswith("_"))


def _keep(value: Value) -> None:
    """Let a value hold what the tensor is now, before a call writes into it."""
    if value.tensor is not None:
        # No part of the pass for those who follow its operators.
        with _disable_current_modes():
            value.tensor = value.tensor.detach().clone()


@functools.lru_cache(maxsize=4096)
def call_name(func: Any) -> str:
    """The name of a torch function, the property's for what reads one."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    return name.removesuffix("_") if not name.startswith("__") else name


@functools.lru_cache(maxsize=4096)
def _is_random(name: str) -> bool:
    return name in _RANDOM or name.startswith("rand") or "dropout" in name


def _weight(values: list[Value]) -> int | str:
    return next((value.key for value in values if value.kind == "parameter"), "")


def _is_of_weights(value: Value) -> bool:
    return value.kind == "parameter" or (value.call is not None and value.call.is_of_weights)
