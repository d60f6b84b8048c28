"""The tail of a program: from what the last layers made to the loss, to be asked about others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from pytest_initcheck.capture.module_hooks import hook_of
from pytest_initcheck.capture.program import Program, Result, tensors_of
from pytest_initcheck.capture.tensor_stats import plain
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.nonlinearities import FLAT
from pytest_initcheck.objective.tape import Tape, TapeCall, Value

# A tail of more calls, or of more values to choose, is a network of its own.
_CALLS = 2000
_VALUES = 4_000_000
# Gains and temperatures are chosen along; a table of weights is taken as it is.
_GAINS = 4096
# The tape leaves out what is random or hidden from it; then it makes another loss.
_RTOL = 1e-4
_COARSE = 0.05

_FLAT = FLAT | {"nan_to_num", "maximum", "minimum", "where", "abs"}
# Calls that add what they get.
SUMS = frozenset(
    {"add", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__", "__isub__"}
)
_HANDED_ON = frozenset({"reshape", "view", "squeeze", "float", "to", "neg"})
# Each term costs a backward pass.
_TERMS = 6
_LEAVES = (Value, Tensor, bool, int, float, str, type(None))
Key = int | str


class NotPlayed(RuntimeError):
    """A call between the last layers and the loss refuses other values than it was given."""


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The loss as a function of its variables: what the last layers made, gains behind them.

    ``calls`` come in the order in which they ran; ``start`` holds the variables' values,
    ``names`` those of the parameters among them; ``makers`` tell which of them a layer made in
    several calls of the model alike; ``output`` are the model's own output tensors,
    where the loss reads them, ``output_start`` their values and ``places`` theirs among all
    tensors of the output. ``data`` are tensors of the batch that the calls read, such as
    targets, or made of such, ``origins`` the places in the batch of what each was made of, and
    ``read`` all of them; ``result`` is the evaluation that was recorded, ``loss`` its loss;
    ``stale`` are terms of the loss, by their name on the tape, whose gradient is zero throughout.
    """

    calls: tuple[TapeCall, ...]
    root: Value
    start: dict[Key, Tensor]
    names: dict[Key, str]
    makers: dict[Key, object]
    output: tuple[Value, ...]
    output_start: tuple[Tensor, ...]
    places: tuple[int, ...]
    data: tuple[Tensor, ...]
    origins: tuple[frozenset[int], ...]
    read: frozenset[int]
    loss: float
    samples: int
    result: Result
    is_widened: bool = False
    stale: frozenset[Any] = frozenset()

    def at(
        self,
        variables: Mapping[Key, Tensor],
        output: Sequence[Tensor] | None = None,
        data: Mapping[Any, Tensor] | None = None,
    ) -> Tensor:
        """The loss for other values of the variables; ``output`` stands in for the model's.

        And ``data``, by their name on the tape, for those of the batch.
        """
        known = self.play(variables, output, data)
        loss: Tensor = _look_up(self.root, variables, known)
        return loss.reshape(())

    def play(
        self,
        variables: Mapping[Key, Tensor],
        output: Sequence[Tensor] | None = None,
        data: Mapping[Any, Tensor] | None = None,
    ) -> dict[Any, Any]:
        """What every call makes, by its identity."""
        known: dict[Any, Any] = dict(data or {})
        if output is not None:
            known.update(zip(map(name_on_tape, self.output), output, strict=True))
        for call in self.calls:
            known[id(call)] = _played(call, variables, known)
        return known

    def seen(self, value: Value, known: Mapping[Any, Any]) -> Any:
        """A value as it was when the calls were played from the start."""
        return _look_up(value, self.start, known)

    def seen_at(self, value: Value, known: Mapping[Any, Any], at: Sequence[Tensor]) -> Any:
        """A value as it was when the calls were played from other values of the variables."""
        return _look_up(value, dict(zip(self.start, at, strict=True)), known)

    @property
    def is_flat(self) -> bool:
        """Whether a call may be flat, so that no gradient leads out of where it is."""
        return any(call.name in _FLAT for call in self.calls)

    @property
    def is_of_heads(self) -> bool:
        """Whether all heads have a row for each sample, and no data come in before the output."""
        heads = [t for key, t in self.start.items() if not self.names[key]]
        if not all(t.dim() and t.shape[0] == self.samples for t in heads):
            return False
        return not any(v.kind == "data" for call in self._own for v in call.inputs)

    @property
    def sides(self) -> list[Tensor]:
        """The data that the loss itself reads; what only selects, as a mask of bools, is none.

        What the model reads of the batch on the way to its output is its own matter.
        """
        own = {id(call) for call in self._own}
        after = [v for call in self.calls if id(call) not in own for v in call.inputs]
        read = {name_on_tape(value) for value in after if value.kind == "data"}
        found = [t for t in self.data if t.dim() and t.numel() > 1]
        found = [t for t in found if id(t) in read] or found
        return [t for t in found if t.dtype is not torch.bool] or found

    @property
    def _own(self) -> list[TapeCall]:
        """The calls that lead to the model's output."""
        return [call for value in self.output for call in slice_of(value) or ()]

    @property
    def is_bare(self) -> bool:
        """Whether the model's output is what its last layers made, with nothing done to it."""
        return all(value.call is None for value in self.output)


class TailRecorder:
    """Records the tail of a program while a pass of it is made, by whomever."""

    def __init__(self, program: Program) -> None:
        self._program, self._tape = program, Tape(program.model)
        self._tail: Tail | None = None
        self._error: Exception | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record the forward pass that runs inside."""
        with _restarting(self._tape, self._program), self._tape:
            yield

    def add_data(self, batch: Any) -> None:
        """Mark the tensors of the batch that the pass is about to run on."""
        self._tape.add_data(tensors_of(batch))

    def see(self, result: Result) -> None:
        """Take what the pass gave, before its graph is gone."""
        try:
            self._tail = _tail_of(self._tape, result, self._program)
        except Exception as error:
            self._error = error

    def tail(self) -> Tail | None:
        """What was recorded; raises what went wrong while it was taken."""
        if self._error is not None:
            raise self._error
        return self._tail


def record_tail(program: Program) -> Tail | None:
    """The tail of a program, None where it cannot be told from the network or played again.

    One forward pass; the caller puts the model's state back.
    """
    recorder = TailRecorder(program)
    try:
        with torch.enable_grad(), torch.compiler.set_stance("force_eager"), recorder.running():
            result = program.evaluate(recorder.add_data)
    except InitcheckError:
        # What cannot run at all is told by the first look; some code does not run on a tape.
        return None
    with torch.enable_grad():
        recorder.see(result)
    return recorder.tail()


def _tail_of(tape: Tape, result: Result, program: Program) -> Tail | None:
    root = tape.value_of(result.loss)
    made = [(tape.value_of(tensor), tensor) for tensor in tensors_of(result.output)]
    calls = slice_of(root)
    return _tail(calls, root, made, result, program) if calls else None


@contextmanager
def _restarting(tape: Tape, program: Program) -> Iterator[None]:
    """Tells the tape when the model is called, which only a caller's forward does several times."""
    if program.forward is None or isinstance(program.model, torch.jit.ScriptModule):
        yield
        return
    restart = hook_of({id(program.model)}, tape.restart)
    handle = program.model.register_forward_pre_hook(restart)
    try:
        yield
    finally:
        handle.remove()


def _tail(
    calls: list[TapeCall],
    root: Value,
    made: list[tuple[Value, Tensor]],
    result: Result,
    program: Program,
) -> Tail | None:
    read = {name_on_tape(value): value for call in calls for value in call.inputs}
    read.setdefault(name_on_tape(root), root)
    start, names = _variables(read.values())
    if not start or sum(t.numel() for t in start.values()) > _VALUES:
        return None
    is_read = [v is not root and _is_output(t) and name_on_tape(v) in read for v, t in made]
    pairs = [pair for pair, ok in zip(made, is_read, strict=True) if ok]
    data = [value for value in read.values() if value.kind == "data"]
    tail = Tail(
        calls=tuple(calls),
        root=root,
        start=start,
        names=names,
        makers={value.key: value.maker or value.key for value in read.values()},
        output=tuple(v for v, _ in pairs),
        output_start=tuple(_wide(t) for _, t in pairs),
        places=tuple(place for place, ok in enumerate(is_read) if ok),
        data=tuple(value.tensor for value in data if value.tensor is not None),
        origins=tuple(value.origins for value in data if value.tensor is not None),
        read=frozenset().union(*(value.origins for value in data)),
        loss=float(result.loss.detach()),
        samples=next((t.shape[0] for t in tensors_of(program.batch) if t.dim()), 0),
        result=result,
        is_widened=result.loss.dtype in (torch.float16, torch.bfloat16),
        stale=_stale(root, program),
    )
    return tail if _is_repeatable(tail) else None


def terms(root: Value) -> list[Value]:
    """The values whose sum the loss is, but for factors; the loss itself where it is no sum."""
    found: list[Value] = []
    stack = [root]
    while stack:
        value = stack.pop()
        is_sum = value.call is not None and value.call.name in SUMS
        if value.call is not None and (is_sum or value.call.name in _HANDED_ON):
            stack += [v for v in value.call.inputs if is_sum or v.call is not None]
        else:
            found.append(value)
    return found


def _stale(root: Value, program: Program) -> frozenset[Any]:
    """The terms of a sum from which no parameter gets any gradient."""
    parameters = [p for p in program.model.parameters() if p.requires_grad]
    parts = [v for v in terms(root) if v.tensor is not None and v.tensor.requires_grad]
    if not 1 < len(parts) <= _TERMS:
        return frozenset()
    return frozenset(name_on_tape(part) for part in parts if _is_stale(part.tensor, parameters))


def _is_stale(term: Tensor | None, parameters: Sequence[Tensor]) -> bool:
    if term is None or term.numel() != 1:
        return False
    try:
        slopes = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    except RuntimeError:
        # A graph that the caller has freed, or that cannot be followed back.
        return False
    return not any(slope is not None and bool(plain(slope).count_nonzero()) for slope in slopes)


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


def slice_of(root: Value) -> list[TapeCall] | None:
    """The calls that a value depends on, earlier ones first; None where there are too many."""
    order: list[TapeCall] = []
    done: set[int] = set()
    stack: list[tuple[TapeCall, bool]] = [(root.call, False)] if root.call else []
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


def name_on_tape(value: Value) -> Any:
    """What tells a value from others on one tape."""
    if value.call is not None:
        return id(value.call), value.place
    return value.key if value.kind in ("head", "parameter") else id(value.tensor)


def _look_up(value: Value, variables: Mapping[Key, Tensor], known: Mapping[Any, Any]) -> Any:
    name = name_on_tape(value)
    if name in known:
        return known[name]
    if value.call is not None:
        return known[id(value.call)][value.place]
    return variables.get(value.key, value.tensor) if value.key != "" else value.tensor


def _played(
    call: TapeCall, variables: Mapping[Key, Tensor], known: Mapping[Any, Any]
) -> list[Tensor]:
    def value(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        found = _look_up(leaf, variables, known)
        # Calls in place write into their first argument.
        return found.clone() if is_writing else found

    is_writing = call.func.__name__.endswith("_") or bool(call.kwargs.get("inplace"))
    args, kwargs = _mapped(value, call.args), _mapped(value, call.kwargs)
    try:
        out = call.func(*args, **kwargs)
    except Exception as error:
        raise NotPlayed(f"{call.name} refuses other values: {error}") from error
    if call.name == "__setitem__":
        return [args[0]]
    if isinstance(out, Tensor):
        return [out]
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]


def _mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """What `tree_map` gives, which looks for longer at what arguments mostly are."""
    kind = type(tree)
    if kind in _LEAVES:
        return function(tree)
    if kind is tuple or kind is list:
        return kind([_mapped(function, part) for part in tree])
    if kind is dict:
        return {key: _mapped(function, part) for key, part in tree.items()}
    return tree_map(function, tree)
