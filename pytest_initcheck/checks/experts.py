"""Routers that send tokens to some of their experts alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, stdev

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import drawn_like
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.writer_scales import ERRORS
from pytest_initcheck.evidence import ChoiceSnapshot, Evidence, Parameter
from pytest_initcheck.evidence.gradient_flow import leading_to
from pytest_initcheck.evidence.similar_rows import groups_of
from pytest_initcheck.records import Finding, Severity

# The chance that a router of a model is told where all are drawn at random.
_ALPHA = 1e-6


class Experts:
    """Reads the choices that routers made for the tokens of the batch."""

    name = "experts"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC309",
            title="experts without tokens",
            cause="the router sends the tokens to some of the experts alone: the others get no "
            "gradient, and learn nothing until it moves",
            limit="an expert gets none with a chance of at least "
            f"α = {number(_ALPHA)} (multinomial, over the tokens that differ), and the busiest no "
            "more than routers that are drawn at random give to theirs for the same tokens (mean "
            f"and {number(ERRORS)} deviations of its logarithm)",
            reference="Shazeer et al.: Outrageously Large Neural Networks (2017), section 4; "
            "Fedus, Zoph, Shazeer: Switch Transformers (2021), section 2.2",
            follows=frozenset({"IC104", "IC111", "IC501", "IC502", "IC701"}),
            quantity="tokens of the batch that each expert gets",
            exempt="routers that start at zero; tokens that random routers send to few experts, "
            "too (info); choices that do not lead to the loss",
            severities=("warning", "info"),
            remedy="draw the rows of the router alike, with zero biases",
        ),
        Rule(
            id="IC205",
            title="a router with equal rows",
            cause="experts have the same row in the router, so that every token likes them "
            "equally, and the first of them gets all that they could share",
            limit="no two equal rows, but in a router that starts at zero",
            reference="Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4: initial "
            "parameters must break symmetry",
            follows=frozenset({"IC104", "IC111", "IC201", "IC501"}),
            quantity="experts whose row in the router equals that of another",
            exempt="routers that start at zero; choices that do not lead to the loss",
            severities=("warning",),
            remedy="draw the router's weights at random, such as torch.nn.init.normal_(weight)",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for choice in evidence.start.choices:
            router = _router(evidence, choice)
            if router is None:
                continue
            equal = _equal_rows(evidence, router)
            if equal:
                yield self._equal(evidence, router, equal)
            else:
                yield from self._load(choice)

    def _equal(self, evidence: Evidence, router: Parameter, rows: tuple[int, ...]) -> Finding:
        stats = evidence.start.parameters[router.name].stats
        return self.rules[1].found(
            self.name,
            "warning",
            [router.layer],
            "experts with the row of another",
            measured=len(rows),
            limit=0,
            units=rows,
            code=drawn_like({router.name: (stats.rms if stats else None) or 0.0}),
        )

    def _load(self, choice: ChoiceSnapshot) -> Iterator[Finding]:
        idle = tuple(i for i, count in enumerate(choice.counts) if count == 0)
        busiest = max(choice.counts) / sum(choice.counts)
        if idle and _chance_of_none(choice) < _ALPHA:
            is_usual = sum(share > 0 for share in choice.idle) > 1
            yield self._told(choice, "experts without a token", len(idle), 0, idle,
                             "info" if is_usual else "warning")  # fmt: skip
        elif busiest > (limit := _most(choice)):
            place = choice.counts.index(max(choice.counts))
            yield self._told(choice, "share of the tokens that one expert gets", busiest, limit,
                             (place,), "warning")  # fmt: skip

    def _told(
        self,
        choice: ChoiceSnapshot,
        quantity: str,
        measured: float,
        limit: float,
        units: tuple[int, ...],
        severity: Severity,
    ) -> Finding:
        count, tokens = len(choice.counts), sum(choice.counts) // choice.picked
        return self.rules[0].found(
            self.name,
            severity,
            [choice.layer],
            quantity,
            measured=measured,
            limit=limit,
            units=units,
            cause=f"of {tokens} tokens, {choice.distinct} of which differ and each of which goes "
            f"to {choice.picked} of {count} experts, these get {min(choice.counts)} to "
            f"{max(choice.counts)}: {self.rules[0].cause}",
        )


def _router(evidence: Evidence, choice: ChoiceSnapshot) -> Parameter | None:
    """The matrix with one row per expert, where the choice matters to the loss."""
    goals = evidence.objective_nodes or evidence.output_nodes
    if choice.node + 1 in goals or choice.node + 1 not in leading_to(evidence, goals):
        return None
    for parameter in evidence.parameters.values():
        if parameter.layer == choice.layer and parameter.axis is not None:
            stats = evidence.start.parameters[parameter.name].stats
            is_zero = stats is not None and stats.zero_share == 1
            if parameter.shape[parameter.axis] == len(choice.counts) and not is_zero:
                return parameter
    return None


def _equal_rows(evidence: Evidence, router: Parameter) -> tuple[int, ...]:
    rows = evidence.start.parameters[router.name].projections
    groups = groups_of(rows) if rows is not None else []
    return tuple(sorted(int(row) for group in groups for row in group))


def _chance_of_none(choice: ChoiceSnapshot) -> float:
    """That some expert gets none of the tokens that differ, where each is as likely as another."""
    count = len(choice.counts)
    return count * (1 - choice.picked / count) ** choice.distinct


def _most(choice: ChoiceSnapshot) -> float:
    """The largest share of an expert that is chance among random routers; 1 where unknown."""
    shares = [math.log(share) for share in choice.busiest if share > 0]
    if len(shares) < 2 or stdev(shares) == 0:
        return 1.0
    return math.exp(fmean(shares) + ERRORS * stdev(shares))
