"""Findings on the way of the gradient: left over, used twice, cut, scaled, not finite, too late."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks import step_rules
from pytest_initcheck.records import Finding
from pytest_initcheck.stepping.observations import StepCall, StepObservations, layers
from pytest_initcheck.stepping.observer import OWN

_NEGLIGIBLE = 1e-6
# Gradients that are brought to one norm whatever they are were normalised, or clipped by hand.
_SAME_NORM = 1e-3


def leftover(seen: StepObservations) -> Iterator[Finding]:
    """Gradients of an earlier step in a later one."""
    uses = [use for call in seen.calls for use in call.uses]
    left = {n: s for use in uses for n, s in use.leftover.items() if s > _NEGLIGIBLE}
    if not left:
        return
    names = list(left)
    every = {name for use in uses for name in use.norms}
    cause = step_rules.LEFTOVER.cause
    if len(left) < len(every):
        others = "the others are zeroed"
        cause += f" (in {len(left)} of {len(every)} parameters with a gradient; {others})"
    if any(use.in_closure and use.leftover for use in uses):
        cause += "; the closure that the optimiser calls does not zero them"
    yield step_rules.LEFTOVER.found(
        step_rules.CHECK,
        "error",
        _own(names),
        "gradient left from the step before, over the new one",
        measured=max(left.values()),
        limit=0.0,
        cause=cause,
    )


def _own(names: list[str]) -> tuple[str, ...]:
    """Layers of the model; what only an optimiser holds has none."""
    return layers([name for name in names if name != OWN])


def twice(seen: StepObservations) -> Iterator[Finding]:
    """One gradient, two steps."""
    again = dict.fromkeys(name for use in seen.uses for name in use.repeated)
    names = list(dict.fromkeys([*seen.twice, *again]))
    if not names:
        return
    owners = dict.fromkeys(use.owner for use in seen.uses if use.repeated)
    cause = "an optimiser has the parameters more than once in its groups, and steps them as often"
    if again:
        cause = f"{', '.join(owners)} steps on a gradient that has already moved these parameters"
        cause += ": step() is called twice, or two optimisers hold them"
    yield step_rules.TWICE.found(
        step_rules.CHECK,
        "error",
        _own([name for name in names if name]),
        "parameters stepped twice",
        measured=len(names),
        limit=0,
        cause=cause,
    )


def nonfinite(seen: StepObservations) -> Iterator[Finding]:
    """Steps along NaN."""
    names = list(dict.fromkeys(name for use in seen.uses for name in use.nonfinite))
    if names:
        yield step_rules.NONFINITE.found(
            step_rules.CHECK, "error", _own(names), "parameters with a gradient that is not finite",
            measured=len(names), limit=0,
        )  # fmt: skip


def scaler(seen: StepObservations) -> Iterator[Finding]:
    """A scaler that always skips, or that is passed by."""
    skipping = [call for call in seen.calls if call.skips]
    if skipping and not seen.uses:
        scales = [scale for call in seen.calls for scale in call.scales]
        came = f", while the scale came from {scales[0]:g} to {scales[-1]:g}" if scales else ""
        yield step_rules.SCALER.found(
            step_rules.CHECK,
            "error",
            (),
            "calls in which the scaler skips the step",
            measured=len(skipping),
            limit=len(skipping) - 1,
            cause="the loss scaler skips the step in every call, for the gradients hold NaN or inf "
            f"every time{came}",
        )
    past = [call for call in seen.calls if _is_past(call)]
    if past:
        yield step_rules.SCALER.found(
            step_rules.CHECK,
            "error",
            (),
            "scale of the gradients that are stepped",
            measured=max(scale for call in past for scale in call.scales),
            limit=1.0,
            cause="the loss is scaled, but optimizer.step() is called in place of "
            "scaler.step(optimizer): the step goes along gradients that are multiplied by the "
            "scale, and nothing is skipped where they overflow",
        )


def _is_past(call: StepCall) -> bool:
    is_plain = call.is_scaled and not call.is_unscaled and bool(call.taken)
    return is_plain and max(call.scales, default=1.0) > 1


def clipped_gradients(seen: StepObservations) -> Iterator[Finding]:
    """Gradients that are cut to a small part in every step."""
    stepping = [call for call in seen.calls if call.taken]
    if not stepping:
        return
    ratios = [_ratio(call) for call in stepping]
    by_hand = _by_hand(stepping)
    ratios = [max(r, h) for r, h in zip(ratios, by_hand, strict=True)]
    least = min(ratios)
    if least < step_rules.CUT_WARNING:
        return
    cause = step_rules.CLIPPED.cause
    if all(any(clip.is_scaled for clip in call.clips) for call in stepping):
        cause = (
            "the gradient is clipped before scaler.unscale_(optimizer): it is still multiplied by "
            "the loss scale, and what is left of it after unscaling is next to nothing"
        )
    yield step_rules.CLIPPED.found(
        step_rules.CHECK,
        "error" if least >= step_rules.CUT_ERROR else "warning",
        (),
        "gradient before clipping over that after it",
        measured=least,
        limit=step_rules.CUT_ERROR if least >= step_rules.CUT_ERROR else step_rules.CUT_WARNING,
        cause=cause,
    )


def _ratio(call: StepCall) -> float:
    before = math.sqrt(sum(clip.before**2 for clip in call.clips))
    after = math.sqrt(sum(clip.after**2 for clip in call.clips))
    if not math.isfinite(before) or before == 0:
        return 1.0
    return before / after if after else math.inf


def _by_hand(calls: list[StepCall]) -> list[float]:
    """How far gradients are cut without a function of torch; 1 where they are not.

    One factor for all may also divide by the number of samples, or by a loss scale: only where
    the norm comes out the same every time, from others that differ, is it a bound.
    """
    uses = [[use for use in call.taken if use.cut] for call in calls]
    if not all(uses):
        return [1.0] * len(calls)
    every = [use for mine in uses for use in mine]
    if any(use.cut == "norm" for use in every):
        raws, used = [u.raw for u in every], [u.used for u in every]
        is_bound = len(every) > 1 and _spread(used) < _SAME_NORM < _spread(raws)
        if not is_bound:
            return [1.0] * len(calls)
    return [min(use.raw / use.used for use in mine) for mine in uses]


def _spread(values: list[float]) -> float:
    return (max(values) - min(values)) / max(values)


def before_backward(seen: StepObservations) -> Iterator[Finding]:
    """Steps that come before the backward of their call."""
    late = [c for c in seen.calls[1:] if c.uses and _is_late(c)]
    if late and len(late) == len(seen.calls) - 1:
        yield step_rules.BEFORE.found(
            step_rules.CHECK,
            "warning",
            (),
            "calls in which step comes before backward",
            measured=len(late),
            limit=0,
        )


def _is_late(call: StepCall) -> bool:
    first = call.uses[0]
    return not first.had_backward and bool(first.norms) and call.ends_with_backward
