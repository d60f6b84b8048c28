"""Asks the tail of a program what its loss can reach, and what stands in the way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program
from pytest_initcheck.objective.lowest import Lowest, lowest
from pytest_initcheck.objective.pairing import (
    copied_input,
    has_equal_inputs,
    is_mispaired,
    unread_targets,
)
from pytest_initcheck.objective.record import Clipped, ObjectiveFacts
from pytest_initcheck.objective.tail import Key, Tail, record_tail
from pytest_initcheck.objective.tape import Call, Value

_SQUASHING = frozenset(
    {"cross_entropy", "log_softmax", "softmax", "binary_cross_entropy_with_logits", "sigmoid",
     "logsigmoid", "log_sigmoid", "softplus", "multilabel_soft_margin_loss", "soft_margin_loss",
     "logsumexp"}
)  # fmt: skip
_BOUNDING = frozenset(
    {"softmax", "sigmoid", "tanh", "relu", "relu6", "clamp", "clip", "clamp_min", "clamp_max",
     "hardtanh", "hardsigmoid", "normalize", "softplus", "exp", "abs", "square", "softsign", "sin",
     "cos", "erf", "log_softmax", "logsigmoid", "div", "__truediv__", "log"}
)  # fmt: skip
_CLIPPING = frozenset({"clamp", "clip", "clamp_min", "clamp_max", "nan_to_num", "maximum"})
_LOGARITHMS = frozenset(
    {"log", "log2", "log10", "log1p", "logit", "binary_cross_entropy", "sqrt", "rsqrt", "pow"}
)
_LOGS = frozenset(
    {"log", "log2", "log10", "log1p", "logit", "nll_loss", "ctc_loss", "kl_div",
     "binary_cross_entropy", "poisson_nll_loss", "gaussian_nll_loss"}
)  # fmt: skip
_SUMS = frozenset({"add", "__add__", "__radd__", "__iadd__", "sub", "__sub__", "__rsub__",
                   "__isub__"})  # fmt: skip
_HANDED_ON = frozenset({"reshape", "view", "squeeze", "mean", "sum", "float", "to", "neg"})
_ALPHAS = tuple(i / 16 for i in range(17))
# A loss with a margin is linear up to it.
_FACTORS = (0.5, 2.0, -1e3, 1e3)
# Shifts beyond any output that a start makes.
_SHIFTS = (1e3, 1e4)


def objective_facts(program: Program) -> ObjectiveFacts | None:
    """What the objective of a program can reach; None where its tail cannot be told apart.

    One forward pass; the caller puts the model's state back.

    Raises:
        InitcheckError: the model or the loss raised.
    """
    tail = record_tail(program)
    if tail is None:
        return None
    return dataclasses.replace(
        facts_of(tail),
        mispaired=is_mispaired(program, tail.result.output, tail.result.targets),
        unread=unread_targets(program, tail),
        copied=copied_input(program, tail),
        has_equal_inputs=has_equal_inputs(program),
    )


def facts_of(tail: Tail) -> ObjectiveFacts:
    """The facts of a tail; see `ObjectiveFacts`."""
    keys = list(tail.start)
    free, reachable = _free(tail, keys), _reachable(tail, keys)
    sides = _sides(tail)
    return ObjectiveFacts(
        loss=tail.loss,
        samples=tail.samples,
        floor=free.value if free and math.isfinite(free.value) else None,
        reachable=reachable.value if math.isfinite(reachable.value) else None,
        constant=best_constant(tail),
        calmest=_calmest(tail),
        is_bottomless=reachable.is_bottomless,
        is_open=bool(free and free.is_bottomless) or _are_logarithms(tail),
        sinks=_sinks(tail),
        is_linear=_is_linear(tail),
        squashes_again=_squashes_again(tail),
        bound=_bound(tail),
        broadcast=_broadcast(tail),
        clipped=_clipped(tail),
        dead_term=_dead_term(tail),
        outputs=tail.places,
        is_logarithmic=_is_logarithmic(tail),
        sides=len(sides),
        targets=_kind(sides),
        target_rms=_rms(sides),
        has_equal_targets=bool(sides) and all(_is_equal(t) for t in sides),
    )


def floor_of(tail: Tail, groups: Tensor | None = None) -> Lowest:
    """The lowest loss of any output; ``groups`` (samples,) ties the outputs of equal samples."""
    keys = list(tail.start)
    found = _free(tail, keys) if groups is None else None
    if found is not None:
        return found
    return _tied(tail, torch.arange(max(tail.samples, 1)) if groups is None else groups)


def best_constant(tail: Tail) -> float | None:
    """The lowest loss of an output that is the same for every sample."""
    if tail.samples < 2:
        return None
    groups = torch.zeros(tail.samples, dtype=torch.long)
    found = _tied(tail, groups)
    if found.is_bottomless:
        # Outputs that the model's own squashing rules out, such as logarithms above zero.
        found = _tied(dataclasses.replace(tail, output=(), output_start=()), groups)
    return found.value if math.isfinite(found.value) else None


def _tied(tail: Tail, groups: Tensor) -> Lowest:
    """The lowest loss where samples of one group get one output."""
    outputs = tail.output_start or tuple(tail.start.values())
    is_sampled = [t.dim() > 0 and t.shape[0] == len(groups) for t in outputs]
    if not any(is_sampled):
        return Lowest(math.inf, ())
    count = int(groups.max()) + 1
    start = [_means(t, groups, count) if tied else t
             for t, tied in zip(outputs, is_sampled, strict=True)]  # fmt: skip
    keys = list(tail.start)

    def loss(points: Sequence[Tensor]) -> Tensor:
        full = [p[groups.to(p.device)] if tied else p
                for p, tied in zip(points, is_sampled, strict=True)]  # fmt: skip
        if tail.output:
            return tail.at(tail.start, full)
        return tail.at(dict(zip(keys, full, strict=True)))

    return _best(loss, start)


def _means(tensor: Tensor, groups: Tensor, count: int) -> Tensor:
    groups = groups.to(tensor.device)
    sums = torch.zeros(count, *tensor.shape[1:], dtype=tensor.dtype, device=tensor.device)
    sums.index_add_(0, groups, tensor)
    sizes = torch.bincount(groups, minlength=count).clamp(min=1).to(tensor.dtype)
    return sums / sizes.reshape(-1, *[1] * (tensor.dim() - 1))


def _free(tail: Tail, keys: list[Key]) -> Lowest | None:
    """The lowest loss of any output, whatever the model does to its last layers' outputs."""
    if not tail.output:
        return None
    many = len(tail.output)

    def loss(points: Sequence[Tensor]) -> Tensor:
        return tail.at(dict(zip(keys, points[many:], strict=True)), points[:many])

    return _best(loss, [*tail.output_start, *(tail.start[key] for key in keys)])


def _reachable(tail: Tail, keys: list[Key]) -> Lowest:
    def loss(points: Sequence[Tensor]) -> Tensor:
        return tail.at(dict(zip(keys, points, strict=True)))

    start = [_calm(tail.start[key]) for key in keys]
    found = _best(loss, start)
    if tail.is_bare or not tail.output:
        return found
    # Rectifiers and saturated squashings show no way out of where they are flat.
    others = [[t.abs() + 0.1 for t in start], [torch.full_like(t, 0.1) for t in start]]
    return min([found, *(_best(loss, other) for other in others)], key=lambda each: each.value)


def _best(loss: Callable[[Sequence[Tensor]], Tensor], start: Sequence[Tensor]) -> Lowest:
    return lowest(loss, start)


def _calm(tensor: Tensor) -> Tensor:
    size = float(tensor.float().square().mean().sqrt()) if tensor.numel() else 0.0
    return tensor / size if math.isfinite(size) and size > 1 else tensor


def _value(loss: Callable[[], Tensor]) -> float | None:
    try:
        with torch.no_grad():
            found = float(loss())
    except Exception:
        # Other outputs may lie outside of what the loss is defined for.
        return None
    return found if math.isfinite(found) else None


def _scaled(tail: Tail, factor: float) -> dict[Key, Tensor]:
    return {k: t if tail.names[k] else t * factor for k, t in tail.start.items()}


def _scaled_loss(tail: Tail, factor: float) -> float | None:
    return _value(lambda: tail.at(_scaled(tail, factor)))


def _calmest(tail: Tail) -> float | None:
    found = [_scaled_loss(tail, alpha) for alpha in _ALPHAS]
    return min((value for value in found if value is not None), default=None)


def _sinks(tail: Tail) -> bool:
    """Whether a shift of all values of one head sends the loss below any bound."""
    return any(
        _falls([_value(_shifted(tail, key, sign * by)) for by in _SHIFTS], tail.loss)
        for key, tensor in tail.start.items()
        if not tail.names[key] and tensor.dim()
        for sign in (1, -1)
    )


def _shifted(tail: Tail, key: Key, by: float) -> Callable[[], Tensor]:
    return lambda: tail.at({**tail.start, key: tail.start[key] + by})


def _falls(losses: Sequence[float | None], start: float) -> bool:
    near, far = losses
    if near is None or far is None or near >= start:
        return False
    slope, later = (near - start) / _SHIFTS[0], (far - near) / (_SHIFTS[1] - _SHIFTS[0])
    return later < -1e-6 and math.isclose(slope, later, rel_tol=0.1)


def _is_linear(tail: Tail) -> bool:
    """Whether the loss is linear in the outputs, or in probabilities that it makes of them.

    And these are no logarithms of probabilities.
    """
    made = [(value, start) for value, start in zip(tail.output, tail.output_start, strict=True)]
    if len(made) != 1:
        return False
    with torch.no_grad():
        known = tail.play(tail.start)
    made += [(Value("call", call=c), known[id(c)][0]) for c in _after_output(tail)
             if c.name == "softmax"]  # fmt: skip
    return any(_is_linear_in(tail, value, start) for value, start in made)


def _is_linear_in(tail: Tail, value: Value, start: Tensor) -> bool:
    if start.dim() < 2 or _is_normalised(start):
        return False
    there = dataclasses.replace(tail, output=(value,), output_start=(start,))
    zero, *losses = [
        _value(lambda f=f: there.at(tail.start, [start * f]))  # type: ignore[misc]
        for f in (0.0, *_FACTORS)
    ]
    if zero is None or any(value is None for value in losses):
        return False
    slope = tail.loss - zero
    size = max(abs(zero), abs(slope))
    return abs(slope) > 1e-6 * size and all(
        math.isclose(value or 0.0, zero + factor * slope, rel_tol=1e-3, abs_tol=1e-4 * size)
        for value, factor in zip(losses, _FACTORS, strict=True)
    )


def _are_logarithms(tail: Tail) -> bool:
    """Whether an output is logarithms of probabilities: others than those say nothing."""
    return any(t.dim() > 1 and _is_normalised(t) for t in tail.output_start)


def _is_normalised(output: Tensor) -> bool:
    sums = (output.float().logsumexp(axis) for axis in {1, output.dim() - 1})
    return any(float(total.abs().max()) < 1e-2 for total in sums)


def _after_output(tail: Tail) -> Iterator[Call]:
    """The calls behind the model's output; behind the heads where the output is not read."""
    behind = {_place(value) for value in tail.output}
    reached: set[int] = set()
    for call in tail.calls:
        marks = {_place(value) for value in call.inputs}
        if not tail.output or marks & behind or marks & reached:
            reached.add(id(call))
            yield call


def _place(value: Value) -> Any:
    if value.call is None:
        return value.key if value.key != "" else id(value.tensor)
    return id(value.call)


def _squashes_again(tail: Tail) -> bool:
    return any(call.name in _SQUASHING for call in _after_output(tail))


def _is_logarithmic(tail: Tail) -> bool:
    names = {call.name for call in tail.calls}
    return bool(names & (_SQUASHING - {"softmax", "sigmoid"} | _LOGS))


def _bound(tail: Tail) -> str:
    """The last operation before the output that bounds it, "" where there is none."""
    for value in tail.output:
        call = value.call
        while call is not None:
            if call.name in _BOUNDING:
                return call.name.strip("_")
            call = next((v.call for v in call.inputs if v.call), None)
    return ""


def _broadcast(tail: Tail) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The shapes of an output and of targets that a call made into one larger than both."""
    for call in _after_output(tail):
        is_mixed = any(v.kind == "data" for v in call.inputs) and any(
            v.is_free for v in call.inputs
        )
        if not is_mixed or len(call.shapes) < 2:
            continue
        first, second = call.shapes[:2]
        if _is_crossed(first, second) and call.name not in ("gather", "where", "__getitem__"):
            return first, second
    return None


def _is_crossed(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    try:
        both = torch.broadcast_shapes(first, second)
    except RuntimeError:
        return False
    return math.prod(both) > max(math.prod(first), math.prod(second))


def _clipped(tail: Tail) -> Clipped | None:
    """What hides values of the output that a logarithm could not take."""
    calls = list(_after_output(tail))
    if not any(call.name in _CLIPPING for call in calls):
        return None
    with torch.no_grad():
        known = tail.play(tail.start)
    for call in calls:
        if call.name not in _CLIPPING or not call.inputs:
            continue
        behind = _leads_to(call, calls)
        before, after = tail.seen(call.inputs[0], known), known[id(call)][0]
        if behind and isinstance(before, Tensor) and before.shape == after.shape:
            gap = (before - after).abs()
            # Guards against the ends of (0, 1) move values by rounding's size.
            moved = ~(gap <= 1e-3 * (1 + after.abs()))
            share = float(moved.float().mean())
            if share > 0:
                return Clipped(by=call.name, share=share, before=behind)
    return None


def _leads_to(call: Call, calls: Sequence[Call]) -> str:
    """The first logarithm that reads what a call makes, through arithmetic."""
    reached = {id(call)}
    for other in calls:
        if any(v.call is not None and id(v.call) in reached for v in other.inputs):
            if other.name in _LOGARITHMS:
                return other.name
            reached.add(id(other))
    return ""


def _dead_term(tail: Tail) -> float:
    """The share of the loss that is a sum's term made of the model, but without gradient."""
    if tail.root.call is None:
        return 0.0
    with torch.no_grad():
        known = tail.play(tail.start)
    dead, alive = 0.0, 0.0
    stack = [tail.root]
    while stack:
        value = stack.pop()
        is_sum = value.call is not None and value.call.name in _SUMS
        if value.call is not None and (is_sum or value.call.name in _HANDED_ON):
            stack += [v for v in value.call.inputs if is_sum or v.call is not None]
            continue
        term = tail.seen(value, known)
        size = float(term.abs().sum()) if isinstance(term, Tensor) and term.numel() == 1 else 0.0
        if value.kind in ("constant", "data") and value.is_cut:
            dead += size
        else:
            alive += size
    return dead / (dead + alive) if dead else 0.0


def _sides(tail: Tail) -> list[Tensor]:
    return [t for t in tail.data if t.dim() and t.numel() > 1]


def _kind(sides: Sequence[Tensor]) -> Literal["", "classes", "shares", "numbers"]:
    if any(not t.is_floating_point() and not t.is_complex() for t in sides):
        return "classes"
    if any(t.dim() > 1 and _are_shares(t) for t in sides):
        return "shares"
    return "numbers" if sides else ""


def _are_shares(tensor: Tensor) -> bool:
    sums = (tensor.float().sum(axis) for axis in {1, tensor.dim() - 1})
    is_one = any(bool((total - 1).abs().max() < 1e-3) for total in sums)
    return is_one and bool(tensor.min() >= 0)


def _rms(sides: Sequence[Tensor]) -> float | None:
    sizes = [float(t.float().square().mean().sqrt()) for t in sides if t.is_floating_point()]
    return max(sizes, default=None)


def _is_equal(tensor: Tensor) -> bool:
    return bool((tensor == tensor[:1]).all())
