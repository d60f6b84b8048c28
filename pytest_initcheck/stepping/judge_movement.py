"""A step that moves nothing, and why it does not."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks import step_rules
from pytest_initcheck.records import Finding
from pytest_initcheck.stepping.observations import StepObservations, Weight, layers

_CLEARED = (
    "the gradients are zeroed after backward and before the optimiser steps: it finds none, and "
    "only its weight decay moves anything"
)


def still(seen: StepObservations) -> Iterator[Finding]:
    """No trainable weight of the model has changed, or none of an optimiser by its gradient."""
    trained = [w for w in seen.weights.values() if w.trainable]
    cleared = _cleared(seen)
    if cleared:
        trained = [w for w in trained if w.name in cleared]
    elif any(w.moved for w in trained):
        return
    cause = _CLEARED if cleared else _cause(seen, trained)
    if not trained:
        return
    if cause:
        yield step_rules.STILL.found(
            step_rules.CHECK,
            "error",
            layers([w.name for w in trained if len(w.shape) > 1] or [w.name for w in trained]),
            "trainable parameters that have changed",
            measured=0,
            limit=1,
            cause=cause,
        )


def _cleared(seen: StepObservations) -> set[str]:
    """What optimisers hold that never find a gradient, for all that backward brings is zeroed."""
    found: set[str] = set()
    for key in {use.key for use in seen.uses}:
        mine = [use for use in seen.uses if use.key == key]
        if not any(use.norms for use in mine):
            found.update(name for use in mine for name in use.cleared)
    return found


def _cause(seen: StepObservations, trained: list[Weight]) -> str:
    """Why nothing has moved; "" where that is meant to be."""
    count = len(seen.calls)
    if not any(w.reached for w in trained):
        return _unreached(seen, count)
    if not seen.uses:
        losses = [call.loss for call in seen.calls if call.loss is not None]
        if losses and not any(map(math.isfinite, losses)):
            return f"the loss is not finite in any of {count} calls, and no optimiser steps"
        if all(call.is_overflowing for call in seen.calls):
            return f"the gradients are not finite in any of {count} calls, and no optimiser steps"
        return f"backward gives gradients, but in {count} calls no optimiser steps"
    rates = [w.rate for w in trained if w.rate is not None]
    if rates and not any(rates):
        is_warming = seen.is_warming
        return "" if is_warming else "the learning rate of every group is zero"
    if not any(use.norms for use in seen.uses):
        # A margin that is kept leaves nothing to learn.
        is_solved = all(call.loss == 0 for call in seen.calls)
        cause = "the gradients are zero in every call: assert_healthy tells where they end"
        return "" if is_solved else cause
    return "the optimiser steps, but its updates are so small that rounding leaves every weight"


def _unreached(seen: StepObservations, count: int) -> str:
    if any(stranger.moved for stranger in seen.strangers):
        return (
            "no gradient reaches the model's parameters, while other tensors of the optimiser "
            "move: the step trains another model, or a copy of this one"
        )
    if any(call.backwards for call in seen.calls):
        return "no gradient reaches the model's parameters: the step trains something else"
    return (
        f"in {count} calls no gradient reaches the model's parameters: backward is not called, or "
        "the loss is detached from the model"
    )
