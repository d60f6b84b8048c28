"""A model that cannot fit its own batch, whatever the reason."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Check, Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.learning import FEWEST, FITTED, MOST_STEPS, SEEN, Learning
from pytest_initcheck.records import Finding

_RULE = Rule(
    id="IC820",
    title="does not fit its own batch",
    cause="real steps on the batch, with the optimiser that was passed and with Adam at "
    "several rates, get the loss no lower than a prediction that ignores the inputs",
    limit=f"a loss that closes {percent(SEEN)} of what lies between the best constant prediction "
    "and the lowest loss that the loss function allows on these targets; warning: the optimiser "
    f"that was passed stands still or diverges where another closes {percent(FITTED)} of it",
    reference="Karpathy: A Recipe for Training Neural Networks (2019), overfit one batch, "
    "input-independent baseline; Zhang et al.: Understanding deep learning requires rethinking "
    "generalization (2017): networks memorise any labels",
    quantity=f"lowest loss on the batch in at most {MOST_STEPS} steps, without dropout and with "
    "the same random numbers in every step",
    exempt="diagnoses that are not thorough; whatever docs/learns.md lists as undecided: losses "
    f"without a floor, targets that ask for nothing, fewer than {FEWEST} different inputs, more "
    "values to learn than parameters, noise, a loss that still falls",
    severities=("error", "warning"),
    remedy="check that the output depends on the input (layer by layer, with two different "
    "samples), that nothing between loss and parameters is detached, and that targets belong to "
    "their inputs",
    confirms=True,
)


class Fit:
    """The backstop of a thorough diagnosis: real steps, and what they reached."""

    name = "fit"

    def __init__(self, causes: Iterable[Check] = ()) -> None:
        """``causes`` are the checks whose findings explain that a model does not fit its batch."""
        known = [rule for check in causes for rule in check.rules]
        follows = frozenset(rule.id for rule in known if {"error", "warning"} & {*rule.severities})
        self.rules: tuple[Rule, ...] = (dataclasses.replace(_RULE, follows=follows),)

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        if evidence.learning is not None:
            yield from self.judge(evidence.learning)

    def judge(self, learning: Learning) -> list[Finding]:
        """What is wrong about what was reached."""
        if learning.outcome == "fails":
            return [self._fails(learning)]
        return [self._only_elsewhere(learning)] if learning.only_elsewhere else []

    def _fails(self, learning: Learning) -> Finding:
        is_known = math.isfinite(learning.loss)
        return self.rules[0].found(
            self.name,
            "error",
            (),
            f"lowest loss in {learning.steps} steps" if is_known else "no finite loss",
            measured=learning.loss if is_known else None,
            limit=_limit(learning),
            cause=f"it does not fit its own batch: {learning.reason} ({learning.bounds})",
        )

    def _only_elsewhere(self, learning: Learning) -> Finding:
        own = learning.own
        assert own is not None
        return self.rules[0].found(
            self.name,
            "warning",
            (),
            f"lowest loss in {own.steps} steps of {own.optimizer}",
            measured=own.loss if math.isfinite(own.loss) else None,
            cause=f"it {own.course} with the optimiser that was passed, where "
            f"{learning.optimizer} gets to {learning.loss:.4g} ({learning.bounds})",
            remedy="change the learning rate towards one that fits the batch, and check that the "
            "optimiser holds the model's own parameters",
        )


def _limit(learning: Learning) -> float | None:
    if learning.constant is None or learning.floor is None:
        return None
    limit = learning.constant - SEEN * (learning.constant - learning.floor)
    # Below it comes a prediction that differs between places, and not between samples.
    return limit if learning.loss > limit else None
