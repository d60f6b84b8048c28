"""Terms of the loss that raise or lower a score, and terms that say nothing at all."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from pytest_initcheck.evidence.objective import FAR
from pytest_initcheck.objective.between import MULTIPLIED
from pytest_initcheck.objective.tail import Tail, slice_of, terms
from pytest_initcheck.objective.tape import Value

# Relative to the loss, what a comparison of a thing with itself leaves.
_ROUNDING = 1e-5
_SHIFTS = (1.0, -1.0, *FAR, *(-far for far in FAR))


def has_score(tail: Tail) -> bool:
    """Whether a term without data is exactly linear in something that a layer made.

    That is a score by which a network is judged, such as a critic's or a discriminator's: what it
    can come to is a matter of that network, and no bound is meant. The term of a divergence or of
    an entropy is curved.
    """
    found = terms(tail.root)
    return len(found) > 1 and any(_is_score(tail, value) for value in found)


def _is_score(tail: Tail, value: Value) -> bool:
    calls = slice_of(value) if value.call is not None else None
    if not calls or any(v.kind == "data" for call in calls for v in call.inputs):
        return False
    heads = {v.key: v for call in calls for v in call.inputs if v.kind == "head"}
    term = dataclasses.replace(tail, calls=tuple(calls), root=value)
    return any(_is_linear_in(term, key) for key in heads if key in tail.start)


def _is_linear_in(term: Tail, key: int | str) -> bool:
    here, start = term.start, term.start[key]
    with torch.no_grad():
        base = float(term.at(here))
        moved = [(shift, float(term.at({**here, key: start + shift}))) for shift in _SHIFTS]
    slope = (moved[0][1] - base) / moved[0][0]
    return slope != 0 and all(
        math.isclose(after - base, slope * shift, rel_tol=1e-3, abs_tol=1e-4 * abs(slope))
        for shift, after in moved
    )


def has_empty_term(tail: Tail) -> bool:
    """Whether a term of the loss's sum is zero whatever the model does.

    It compares a part of the batch with itself, or weighs what the model gives by zeros, one for
    each of its values. A term times the number zero is switched off on purpose.
    """
    found = terms(tail.root)
    if len(found) < 2:
        return False
    with torch.no_grad():
        known = tail.play(tail.start)
    return any(_is_empty(tail, value, tail.seen(value, known)) for value in found)


def _is_empty(tail: Tail, value: Value, term: object) -> bool:
    if not isinstance(term, Tensor) or term.numel() != 1:
        return False
    if abs(float(term)) > _ROUNDING * abs(tail.loss):
        return False
    is_of_data = value.kind == "data" and not value.is_cut and term.is_floating_point()
    return is_of_data or _is_weighed_by_zeros(value)


def _is_weighed_by_zeros(value: Value) -> bool:
    """Whether the last product of a term is one with a tensor of zeros."""
    call = value.call
    while call is not None and call.name not in MULTIPLIED:
        call = next((v.call for v in call.inputs if v.call is not None), None)
    fixed = [v.tensor for v in call.inputs if not v.is_free] if call is not None else []
    return any(t is not None and t.numel() > 1 and not bool(t.any()) for t in fixed)
