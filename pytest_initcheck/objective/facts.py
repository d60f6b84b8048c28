"""Asks the tail of a program what its loss can reach, and what stands in the way."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.objective import between
from pytest_initcheck.objective.blanks import blank_labels
from pytest_initcheck.objective.class_order import inverted, is_over_one
from pytest_initcheck.objective.code_cost import code_cost, main_share
from pytest_initcheck.objective.lost_slope import lost_slope
from pytest_initcheck.objective.lowest import Lowest
from pytest_initcheck.objective.pairing import (
    copied_input,
    has_equal_inputs,
    is_mispaired,
    is_whole_copy,
    unread_targets,
)
from pytest_initcheck.objective.probes import calm_output, calmest, is_linear, is_prior, sinks
from pytest_initcheck.objective.reach import (
    are_logarithms,
    behind,
    best_constant,
    constant,
    constant_output,
    floor_of,
    free,
    reachable,
)
from pytest_initcheck.objective.scored import has_empty_term, has_score
from pytest_initcheck.objective.tail import Tail, record_tail
from pytest_initcheck.objective.tape import Value
from pytest_initcheck.objective.term_tails import term_tails
from pytest_initcheck.objective.unpaired import broadcast, unpaired

__all__ = ["best_constant", "facts_in", "facts_of", "floor_of", "objective_facts"]

Answer = TypeVar("Answer")


def objective_facts(program: Program) -> ObjectiveFacts | None:
    """What the objective of a program can reach; None where its tail cannot be told apart.

    One forward pass; the caller puts the model's state back.
    """
    tail = record_tail(program)
    return None if tail is None else facts_in(program, tail)


def facts_in(program: Program, tail: Tail) -> ObjectiveFacts:
    """What the objective of a program can reach, as its tail and its batch tell."""
    return dataclasses.replace(
        facts_of(tail),
        terms=tuple(facts_of(term) for term in term_tails(tail) if _is_squashed(term)),
        mispaired=is_mispaired(program, tail),
        unread=unread_targets(program, tail),
        copied=copied_input(program, tail),
        is_whole_copy=is_whole_copy(program, tail),
        has_equal_inputs=has_equal_inputs(program),
    )


def facts_of(tail: Tail) -> ObjectiveFacts:
    """The facts of a tail; see `ObjectiveFacts`."""
    sides = tail.sides
    kind = _kind(sides)
    facts = ObjectiveFacts(
        loss=tail.loss,
        samples=tail.samples,
        calmest=calmest(tail),
        calm_output=calm_output(tail),
        is_prior=bool(_asked(is_prior, tail)),
        sinks=sinks(tail, by_scale=kind == "classes"),
        is_linear=is_linear(tail),
        is_unnormalised=between.is_unnormalised(tail),
        squashes_again=between.squashes_again(tail),
        is_logarithmic=between.is_logarithmic(tail),
        compares=between.compares(tail),
        is_over_one=is_over_one(tail),
        inverted=inverted(tail),
        code_cost=(price := _asked(code_cost, tail)),
        main_share=main_share(tail) if price else None,
        bound=(name := between.bound(tail)),
        is_bounded=between.is_bounding(name),
        broadcast=broadcast(tail),
        unpaired=_asked(unpaired, tail),
        clipped=between.clipped_outputs(tail),
        blanks=blank_labels(tail),
        dead_term=between.dead_term(tail),
        lost_slope=_asked(lost_slope, tail) or 0.0,
        has_data_term=between.has_data_term(tail),
        has_empty_term=bool(_asked(has_empty_term, tail)),
        has_score=bool(_asked(has_score, tail)),
        meets_taught=between.meets_taught(tail),
        outputs=tail.places,
        sides=len(sides),
        targets=kind,
        target_rms=_rms(sides),
        target_range=_range(tail),
        has_equal_targets=bool(sides) and all(bool((t == t[:1]).all()) for t in sides),
    )
    return _with_squashing_in_loss(_with_reach(facts, tail), tail)


def _is_squashed(tail: Tail) -> bool:
    """Whether something stands between last layers and output, or between two within the loss."""
    return (bool(tail.output) and not tail.is_bare) or any(
        True for _ in between.gradient_cuts(tail)
    )


def _with_reach(facts: ObjectiveFacts, tail: Tail) -> ObjectiveFacts:
    """The facts with what the loss can reach; the search may end early, so the least counts.

    Where gains, such as learnt weights of terms, bring a loss below zero, it may go on falling.
    """
    reach, is_free = reachable(tail), bool(tail.output) and not tail.is_bare
    beyond = free(tail) if is_free else reach
    if is_free and not _is_downhill(tail, reach, beyond):
        # What lies between the outputs within reach and the best is no slope: no way is cut off.
        beyond = reach
    idle, is_of_heads = constant(tail)
    if not is_of_heads and between.compares(tail):
        # One row of scores for all is out of reach of products with what the batch brings in.
        idle = None
    within = [*_known(reach), *(_known(idle) if is_of_heads or not is_free else [])]
    floor = min([*_known(idle), *within, *_known(beyond)], default=None)
    return dataclasses.replace(
        facts,
        floor=floor,
        reachable=min(within, default=None),
        constant=_value(idle),
        least=min(within, default=None) if is_of_heads else floor,
        is_bottomless=reach.is_bottomless,
        is_open=are_logarithms(tail)
        or (is_free and beyond.is_bottomless)
        or (any(tail.names.values()) and max(reach.value, beyond.value) < 0),
    )


def _is_downhill(tail: Tail, reach: Lowest, beyond: Lowest) -> bool:
    """Whether the loss falls all the way from the best output within reach to the best of all."""
    if not math.isfinite(reach.value) or not math.isfinite(beyond.value):
        return False
    keys, many = list(tail.start), len(tail.output)
    with torch.no_grad():
        known = tail.play(dict(zip(keys, reach.at, strict=True)))
        start = [tail.seen_at(value, known, reach.at) for value in tail.output]
        ends, rest = beyond.at[:many], dict(zip(keys, beyond.at[many:], strict=True))
        losses = [
            float(tail.at(rest, [a + (b - a) * part for a, b in zip(start, ends, strict=True)]))
            for part in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
    slack = 1e-3 * max(abs(losses[0]), abs(losses[-1]))
    return all(after <= before + slack for before, after in itertools.pairwise(losses))


def _with_squashing_in_loss(facts: ObjectiveFacts, tail: Tail) -> ObjectiveFacts:
    """The facts with what a squashing before another costs the loss, or a likelihood within."""
    if facts.constant is None or facts.reachable is None:
        return facts
    for value, name in between.gradient_cuts(tail):
        if (lost := _lost(tail, value, facts.reachable, facts.constant)) is not None:
            facts = dataclasses.replace(facts, lost_in_loss=lost, bound_in_loss=name)
            break
    if facts.lost_in_loss:
        return facts
    for inner, value, name in between.likelihoods(tail):
        within, idle = _value(reachable(inner)), _value(constant_output(_behind(inner, value)))
        if within is not None and idle is not None:
            lost = _lost(inner, value, within, idle) or 0.0
            return dataclasses.replace(
                facts, lost_in_loss=lost, bound_in_loss=name, within_loss=(within, idle)
            )
    return facts


def _lost(tail: Tail, value: Value, within: float, idle: float) -> float | None:
    """What a squashing puts out of reach, of what lies between a constant and the floor."""
    floor = free(_behind(tail, value))
    worth = idle - floor.value
    if not math.isfinite(worth) or worth <= 0 or floor.is_bottomless:
        return None
    return max((within - floor.value) / worth, 0.0)


def _behind(tail: Tail, value: Value) -> Tail:
    with torch.no_grad():
        start = tail.seen(value, tail.play(tail.start))
    return behind(tail, value, start)


def _asked(question: Callable[[Tail], Answer | None], tail: Tail) -> Answer | None:
    """The answer, None where the loss is not defined for what it is asked about."""
    try:
        return question(tail)
    except Exception:
        return None


def _known(found: Lowest | None) -> list[float]:
    value = _value(found)
    return [] if value is None else [value]


def _value(found: Lowest | None) -> float | None:
    return found.value if found is not None and math.isfinite(found.value) else None


def _kind(sides: Sequence[Tensor]) -> Literal["", "classes", "shares", "numbers"]:
    if any(not t.is_floating_point() and not t.is_complex() for t in sides):
        return "classes"
    if any(t.dim() > 1 and _are_shares(t) for t in sides):
        return "shares"
    return "numbers" if sides else ""


def _are_shares(tensor: Tensor) -> bool:
    axes = {axis for axis in (1, tensor.dim() - 1) if tensor.shape[axis] > 1}
    sums = (tensor.float().sum(axis) for axis in axes)
    is_one = any(bool((total - 1).abs().max() < 1e-3) for total in sums)
    return is_one and bool(tensor.min() >= 0)


def _rms(sides: Sequence[Tensor]) -> float | None:
    floating = [t.detach().float() for t in sides if t.is_floating_point()]
    known = [t[t.isfinite()] for t in floating]
    return max((float(t.square().mean().sqrt()) for t in known if t.numel()), default=None)


def _range(tail: Tail) -> tuple[float, float] | None:
    """The range of the targets of a binary cross-entropy."""
    for call in tail.calls:
        if call.name.startswith("binary_cross_entropy"):
            data = [v.tensor for v in call.inputs if v.kind == "data" and v.tensor is not None]
            if data:
                return float(data[0].min()), float(data[0].max())
    return None
