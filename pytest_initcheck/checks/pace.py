"""Steps at whose pace the loss arrives nowhere within any ordinary training."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import changed_setting
from pytest_initcheck.checks.rule import Check, Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding

# On one batch, which is easier than the data: sound starts need tens of steps, slow ones hundreds.
_STEPS = 1000
# A saddle, and a layer that starts at zero, are left ever faster.
_FASTER = 1.5
_RULE = Rule(
    id="IC605",
    title="a pace that arrives nowhere soon",
    cause="each step takes so little of what the loss has left that the very batch it minimises "
    "would keep it busy for thousands: the rate is too small for these gradients, or what is "
    "minimised is scaled down (divided twice, outweighed by weight decay)",
    limit=f"half of what the loss has left within {number(_STEPS)} steps like the largest of those "
    "taken, once momentum has gathered",
    reference="judgement: of 230 sound programs with an optimiser of their own the slowest needed "
    "some 300 steps by this measure",
    quantity="steps for half of what lies between the first loss and the lowest that it can get",
    exempt="the default optimiser; losses whose floor is not known; steps that grow; a loss that "
    "moves by more in any of the steps, up or down",
    severities=("warning",),
    remedy="multiply the learning rate by ten until a step takes a hundredth of the loss, or look "
    "for a factor that makes the loss small",
)


class Pace:
    """Reads the losses of the steps; what any other rule finds explains it."""

    name = "pace"

    def __init__(self, others: Sequence[Check]) -> None:
        known = (rule for check in others for rule in check.rules)
        follows = frozenset(rule.id for rule in known if {"error", "warning"} & {*rule.severities})
        self.rules: tuple[Rule, ...] = (dataclasses.replace(_RULE, follows=follows),)

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        losses = evidence.trajectory
        if evidence.is_default_optimizer or not losses.is_finite or losses.floor is None:
            return
        if not 0 <= evidence.momentum < 1:
            return
        falls = [before - after for before, after in itertools.pairwise(losses.losses)]
        # Of a force that stays, momentum has gathered this part after so many steps.
        gathered = 1 - evidence.momentum ** len(falls)
        pace, gap = max(map(abs, falls)) / gathered, losses.first - losses.floor
        growth = gathered / (1 - evidence.momentum)
        is_leaving = falls[-1] > _FASTER * growth * max(falls[0], 0.0)
        if pace > 0 and gap > 2 * _STEPS * pace and not is_leaving:
            yield self.rules[0].found(
                self.name,
                "warning",
                (),
                "steps for half of what the loss has left",
                measured=gap / (2 * pace),
                limit=_STEPS,
                code=changed_setting("lr", "*= 10"),
            )
