"""From what was seen of a step to findings: root causes first, and what they explain left out."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from pytest_initcheck.checks import step_rules
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.records import RANK, Finding
from pytest_initcheck.stepping.facts import is_norm_module
from pytest_initcheck.stepping.judge_gradients import (
    before_backward,
    clipped_gradients,
    leftover,
    nonfinite,
    scaler,
    twice,
)
from pytest_initcheck.stepping.judge_model import freezing, mode, undoing_decay, unheld
from pytest_initcheck.stepping.judge_movement import still
from pytest_initcheck.stepping.observations import StepObservations, layers
from pytest_initcheck.stepping.repeat import Runs

# By what they explain: a step that cannot move for another reason is not told twice.
_EXPLAIN: dict[str, set[str]] = {
    "IC856": {"IC851"},
    "IC861": {"IC852", "IC854", "IC855", "IC856", "IC858", "IC862"},
    "IC862": {"IC851"},
    "IC853": {"IC851"},
}


def judge_step(seen: StepObservations, runs: Runs) -> list[Finding]:
    """What is wrong, worst first; nothing where all is well."""
    found = [*_found(seen), *runs_that_differ(runs)]
    errors = {finding.id for finding in found if finding.severity == "error"}
    told = [f for f in found if not _EXPLAIN.get(f.id, set()) & errors]
    return sorted(told, key=lambda finding: RANK[finding.severity])


def _found(seen: StepObservations) -> Iterator[Finding]:
    yield from leftover(seen)
    yield from unheld(seen)
    yield from twice(seen)
    yield from freezing(seen)
    yield from scaler(seen)
    yield from nonfinite(seen)
    yield from mode(seen)
    yield from still(seen)
    yield from clipped_gradients(seen)
    yield from before_backward(seen)
    yield from undoing_decay(seen)


def runs_that_differ(runs: Runs) -> Iterator[Finding]:
    """Two runs from the same state that do not end at the same place."""
    apart = runs.differing()
    if not apart:
        return
    name, (measured, limit) = next(iter(apart.items()))
    rule: Rule = step_rules.DIFFERS
    cause, severity = f"{rule.cause}; {name!r} is the first that differs", "error"
    if runs.iterators:
        severity = "info"
        names = ", ".join(repr(name) for name in dict.fromkeys(runs.iterators))
        cause = (
            f"two runs from the same state do not give the same weights ({name!r} is the first "
            f"that differs), as it must be where the step takes data from an iterator ({names}), "
            "which goes on from call to call and cannot be put back"
        )
    layers = _layers(apart)
    yield rule.found(
        step_rules.CHECK,
        "error" if severity == "error" else "info",
        layers,
        "distance of two runs over how far they went",
        measured=measured,
        limit=limit,
        cause=cause,
    )


def _layers(names: dict[str, tuple[float, float]]) -> tuple[str, ...]:
    return layers([name.rpartition(" ")[2] for name in names])


def frozen(model: nn.Module) -> list[Finding]:
    """A model of which nothing is trainable, as no other weight is: it need not be run."""
    weights = [
        m for m in model.modules() if list(m.parameters(recurse=False)) and not is_norm_module(m)
    ]
    return [
        step_rules.FROZEN.found(
            step_rules.CHECK,
            "error",
            (),
            "trainable parameters",
            measured=0,
            limit=1,
            cause="every parameter is frozen (requires_grad=False), of the model and in the "
            f"optimiser: none of its {len(weights)} layers can learn",
        )
    ]
