"""The tail of a program: from what the last layers made to the loss, to be asked about others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from pytest_initcheck.capture.program import Program, Result, tensors_of
from pytest_initcheck.objective.tape import Call, Tape, Value

# A tail of more calls, or of more values to choose, is a network of its own.
_CALLS = 2000
_VALUES = 4_000_000
# Gains and temperatures are chosen along; a table of weights is taken as it is.
_GAINS = 4096
# The tape leaves out what is random or hidden from it; then it makes another loss.
_RTOL = 1e-4
_COARSE = 0.05

Key = int | str


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The loss as a function of its variables: what the last layers made, gains behind them.

    ``calls`` come in the order in which they ran; ``start`` holds the variables' values;
    ``output`` are the model's own output tensors, where the loss reads them, and ``places`` theirs
    among all tensors of the output; ``data`` are tensors
    of the batch that the calls read, such as targets, or made of such, and ``read`` their places
    in the batch; ``result`` is the evaluation that was recorded, ``loss`` its loss.
    """

    calls: tuple[Call, ...]
    root: Value
    start: dict[Key, Tensor]
    names: dict[Key, str]
    output: tuple[Value, ...]
    output_start: tuple[Tensor, ...]
    places: tuple[int, ...]
    data: tuple[Tensor, ...]
    read: frozenset[int]
    loss: float
    samples: int
    result: Result
    is_widened: bool = False

    def at(self, variables: Mapping[Key, Tensor], output: Sequence[Tensor] | None = None) -> Tensor:
        """The loss for other values of the variables; ``output`` stands in for the model's."""
        known = self.play(variables, output)
        loss: Tensor = _look_up(self.root, variables, known)
        return loss.reshape(())

    def play(
        self, variables: Mapping[Key, Tensor], output: Sequence[Tensor] | None = None
    ) -> dict[Any, Any]:
        """What every call makes, by its identity."""
        known: dict[Any, Any] = {}
        if output is not None:
            known.update(zip(map(_name, self.output), output, strict=True))
        for call in self.calls:
            known[id(call)] = _played(call, variables, known)
        return known

    def seen(self, value: Value, known: Mapping[Any, Any]) -> Any:
        """A value as it was when the calls were played from the start."""
        return _look_up(value, self.start, known)

    @property
    def is_bare(self) -> bool:
        """Whether the model's output is what its last layers made, with nothing done to it."""
        return all(value.call is None for value in self.output)


def record_tail(program: Program) -> Tail | None:
    """The tail of a program, None where it cannot be told from the network or played again.

    One forward pass; the caller puts the model's state back.

    Raises:
        InitcheckError: the model or the loss raised.
    """
    tape = Tape(program.model)
    with torch.enable_grad(), torch.compiler.set_stance("force_eager"), tape:
        result = program.evaluate(lambda batch: tape.add_data(tensors_of(batch)))
        made = [t for t in tensors_of(result.output)]
        root, values = tape.value_of(result.loss), [tape.value_of(t) for t in made]
    calls = _slice(root)
    if calls is None:
        return None
    return _tail(calls, root, values, made, result, program)


def _tail(
    calls: list[Call],
    root: Value,
    values: list[Value],
    made: list[Tensor],
    result: Result,
    program: Program,
) -> Tail | None:
    read = {_name(value): value for call in calls for value in call.inputs}
    read.setdefault(_name(root), root)
    start, names = _variables(read.values())
    if not start or sum(t.numel() for t in start.values()) > _VALUES:
        return None
    outputs = [v if _is_output(t) else root for v, t in zip(values, made, strict=True)]
    pairs = [
        (v, t) for v, t in zip(outputs, made, strict=True) if v is not root and _name(v) in read
    ]
    data = [value for value in read.values() if value.kind == "data"]
    tail = Tail(
        calls=tuple(calls),
        root=root,
        start=start,
        names=names,
        output=tuple(v for v, _ in pairs),
        output_start=tuple(_wide(t) for _, t in pairs),
        places=tuple(i for i, v in enumerate(outputs) if _name(v) in read),
        data=tuple(value.tensor for value in data if value.tensor is not None),
        read=frozenset().union(*(value.origins for value in data)),
        loss=float(result.loss.detach()),
        samples=next((t.shape[0] for t in tensors_of(program.batch) if t.dim()), 0),
        result=result,
        is_widened=result.loss.dtype in (torch.float16, torch.bfloat16),
    )
    return tail if _is_repeatable(tail) else None


def _is_repeatable(tail: Tail) -> bool:
    try:
        with torch.no_grad():
            again = float(tail.at(tail.start))
    except Exception:
        # Code between the calls may hold on to the tensors of its first run.
        return False
    is_same = math.isclose(again, tail.loss, rel_tol=_RTOL, abs_tol=1e-6)
    is_close = tail.is_widened and math.isclose(again, tail.loss, rel_tol=_COARSE, abs_tol=1e-3)
    return math.isfinite(tail.loss) and (is_same or is_close)


def _is_output(tensor: Tensor) -> bool:
    # A penalty that a model returns beside its output is a number, and no output.
    return tensor.requires_grad and tensor.is_floating_point() and tensor.dim() > 0


def _wide(tensor: Tensor) -> Tensor:
    """A tensor in a precision that large values fit into."""
    is_half = tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.detach().float() if is_half else tensor.detach()


def _slice(root: Value) -> list[Call] | None:
    """The calls that a value depends on, earlier ones first; None where there are too many."""
    order: list[Call] = []
    done: set[int] = set()
    stack: list[tuple[Call, bool]] = [(root.call, False)] if root.call else []
    while stack:
        call, is_ready = stack.pop()
        if is_ready:
            order.append(call)
        elif id(call) not in done:
            done.add(id(call))
            if len(done) > _CALLS:
                return None
            stack.append((call, True))
            stack += [(v.call, False) for v in call.inputs if v.call and id(v.call) not in done]
    return order


def _variables(values: Iterable[Value]) -> tuple[dict[Key, Tensor], dict[Key, str]]:
    start, names = {}, {}
    for value in values:
        is_gain = value.kind == "parameter" and value.tensor is not None
        is_gain = is_gain and value.tensor.numel() <= _GAINS  # type: ignore[union-attr]
        if value.tensor is not None and (value.kind == "head" or is_gain):
            start[value.key] = _wide(value.tensor)
            names[value.key] = value.name
    return start, names


def _name(value: Value) -> Any:
    """What tells a value from others on one tape."""
    if value.call is not None:
        return id(value.call), value.place
    return value.key if value.kind in ("head", "parameter") else id(value.tensor)


def _look_up(value: Value, variables: Mapping[Key, Tensor], known: Mapping[Any, Any]) -> Any:
    name = _name(value)
    if name in known:
        return known[name]
    if value.call is not None:
        return known[id(value.call)][value.place]
    return variables.get(value.key, value.tensor) if value.key != "" else value.tensor


def _played(call: Call, variables: Mapping[Key, Tensor], known: Mapping[Any, Any]) -> list[Tensor]:
    def value(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        found = _look_up(leaf, variables, known)
        # Calls in place write into their first argument.
        return found.clone() if is_writing else found

    is_writing = call.func.__name__.endswith("_")
    args, kwargs = tree_map(value, (call.args, call.kwargs))
    out = call.func(*args, **kwargs)
    if call.name == "__setitem__":
        return [args[0]]
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
