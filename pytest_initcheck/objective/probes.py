"""What the loss says to other outputs than the model's: scaled, shifted, multiplied."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from pytest_initcheck.evidence.objective import FACTORS, FAR, LARGER, RARE
from pytest_initcheck.objective.between import after_output
from pytest_initcheck.objective.given_sides import given_sides
from pytest_initcheck.objective.reach import behind, is_normalised
from pytest_initcheck.objective.tail import Key, Tail, name_on_tape
from pytest_initcheck.objective.tape import TapeCall, Value

# Halvings, since what is normalised behind a layer has no size of its own but at zero.
_ALPHAS = tuple(2.0**-i for i in range(0, 41, 2))
# So far below zero, in sizes of the start, is no floor that a loss is meant to have.
_DEEP = 10.0
# A logit that is sure of something.
_LARGE = 2.0


def calmest(tail: Tail) -> float | None:
    """The lowest loss of what the last layers made times some number up to 1."""
    found = [_value(lambda a=alpha: tail.at(_scaled(tail, a))) for alpha in _ALPHAS]  # type: ignore[misc]
    return min((value for value in found if value is not None), default=None)


def is_prior(tail: Tail) -> bool:
    """Whether the loss is high for what all samples' outputs have in common: that it is rare.

    A bias that says of each place what holds of nearly all of them, as those of detectors do,
    costs the few others dearly, and knows something.
    """
    lowest, shared = calmest(tail), _means(tail)
    if lowest is None or not shared:
        return False
    full = {key: mean.expand_as(tail.start[key]).clone() for key, mean in shared.items()}
    common = _value(lambda: tail.at({**tail.start, **full}))
    if common is None or common - lowest <= LARGER * (tail.loss - lowest):
        return False
    large = torch.cat([t[t.abs() > _LARGE].flatten() for t in shared.values()])
    sides = given_sides(tail)
    parts = [float(t.float().mean()) for t in sides if t.numel() > 1 and _is_binary(t)]
    if not large.numel():
        return False
    is_no, is_yes = bool((large < 0).all()), bool((large > 0).all())
    return any((is_no and part < RARE) or (is_yes and part > 1 - RARE) for part in parts)


def _means(tail: Tail) -> dict[Key, Tensor]:
    """The mean over the samples of what the last layers made, where it has a row for each."""
    rows = {key: t for key, t in tail.start.items() if t.dim() and t.shape[0] == tail.samples}
    return {key: t.mean(0, keepdim=True) for key, t in rows.items()} if tail.samples > 1 else {}


def _is_binary(tensor: Tensor) -> bool:
    return not tensor.is_complex() and bool(((tensor == 0) | (tensor == 1)).all())


def calm_output(tail: Tail) -> float | None:
    """The same of the model's outputs, None where its last layers made them."""
    if tail.is_bare or not tail.output:
        return None
    found = [
        _value(lambda a=alpha: tail.at(tail.start, [t * a for t in tail.output_start]))  # type: ignore[misc]
        for alpha in (*_ALPHAS, 0.0)
    ]
    return min((value for value in found if value is not None), default=None)


def sinks(tail: Tail, *, by_scale: bool) -> bool:
    """Whether a shift of all values of one head sends the loss below any bound.

    Or, ``by_scale``, their multiplication.
    """
    paths = [_shifts(tail), _factors(tail)] if by_scale else [_shifts(tail)]
    return any(_falls([_value(step) for step in way], tail.loss) for path in paths for way in path)


def is_linear(tail: Tail) -> bool:
    """Whether the loss is linear in the outputs, or in probabilities that it makes of them.

    And these are no logarithms of probabilities.
    """
    made = list(zip(tail.output, tail.output_start, strict=True))
    if len(made) != 1:
        return False
    with torch.no_grad():
        known = tail.play(tail.start)
    made += [
        (Value(kind="call", call=call), known[id(call)][0])
        for call in after_output(tail)
        if call.name == "softmax" and _is_only_reader(tail, call)
    ]
    return any(_is_linear_in(tail, value, start) for value, start in made)


def _is_only_reader(tail: Tail, call: TapeCall) -> bool:
    """Whether nothing else reads the logits, as a logarithm of the same probabilities would."""
    logits = name_on_tape(call.inputs[0])
    readers = [each for each in tail.calls if logits in map(name_on_tape, each.inputs)]
    return len(readers) == 1


def _is_linear_in(tail: Tail, value: Value, start: Tensor) -> bool:
    if start.dim() < 2 or is_normalised(start):
        return False
    there = behind(tail, value, start)
    size = float(start.float().square().mean().sqrt())
    unit = start / size if 0 < size < 1 else start
    zero, one, *losses = [
        _value(lambda f=factor: there.at(tail.start, [unit * f]))  # type: ignore[misc]
        for factor in (0.0, 1.0, *FACTORS)
    ]
    if zero is None or one is None or any(loss is None for loss in losses):
        return False
    slope = one - zero
    size = max(abs(zero), abs(slope))
    return abs(slope) > 1e-3 * size and all(
        math.isclose(loss or 0.0, zero + factor * slope, rel_tol=1e-3, abs_tol=1e-4 * size)
        for loss, factor in zip(losses, FACTORS, strict=True)
    )


def _value(loss: Callable[[], Tensor]) -> float | None:
    try:
        with torch.no_grad():
            found = float(loss())
    except Exception:
        # Other outputs may lie outside of what the loss is defined for.
        return None
    return found if math.isfinite(found) else None


def _scaled(tail: Tail, factor: float) -> dict[Key, Tensor]:
    return {key: t if tail.names[key] else t * factor for key, t in tail.start.items()}


Step = Callable[[], Tensor]


def _shifts(tail: Tail) -> Iterator[list[Step]]:
    # Beyond all targets: towards them any loss falls.
    size = max((float(t.detach().float().abs().max()) for t in tail.data if t.numel()), default=1.0)
    size = max(size, 1.0)
    for key, tensor in tail.start.items():
        if not tail.names[key] and tensor.dim():
            for sign in (1, -1):
                yield [_at(tail, {key: tensor + sign * far * size}) for far in FAR]


def _factors(tail: Tail) -> Iterator[list[Step]]:
    for sign in (1, -1):
        yield [_at(tail, _scaled(tail, sign * far)) for far in FAR]


def _at(tail: Tail, changed: Mapping[Key, Tensor]) -> Step:
    return lambda: tail.at({**tail.start, **changed})


def _falls(losses: Sequence[float | None], start: float) -> bool:
    """Whether the loss falls at least in proportion, near and far."""
    near, far = losses
    if near is None or far is None or near >= start or far > -_DEEP * (1 + abs(start)):
        return False
    slope, later = (near - start) / FAR[0], (far - near) / (FAR[1] - FAR[0])
    return later < -1e-6 and later < 0.9 * slope
