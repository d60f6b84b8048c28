"""A code that costs more than all that it can gain."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding


class Collapse:
    """Weighs the divergence of a variational autoencoder against its reconstruction."""

    name = "collapse"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC822",
            title="the divergence outweighs the reconstruction",
            cause="a nat in the code costs more than it can gain: the divergence is a sum where "
            "the reconstruction is a mean, or its weight is too large. The best that training can "
            "find is a code that says nothing (posterior collapse)",
            limit="above the price of a nat, 2 c λ, where c λ is what the largest principal "
            "component of the targets is worth to the loss, or what all of them are worth over "
            "the nats that tell one sample from all others",
            reference="Rose: Deterministic annealing (1998), on the first split of a code at 2 c "
            "λ; Lucas, Tucker, Grosse, Norouzi: Don't Blame the ELBO! (2019): a linear "
            "variational autoencoder uses a component whose variance is above that of the noise",
            follows=frozenset({"IC104", "IC111", "IC501", "IC502", "IC503", "IC803"}),
            quantity="loss of the best constant output less the lowest, times twice the share of "
            "the largest principal component or 1/ln N, over what a nat of all samples costs",
            exempt="losses without a divergence of means and log-variances from N(0, 1); a weight "
            "that grows during training, of which only the start is seen (warm-up)",
            remedy="sum the reconstruction over the values of a sample as the divergence is summed "
            "over the code, and average both over the samples",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        facts = evidence.objective
        if facts is None or facts.code_cost is None or facts.main_share is None:
            return
        if facts.constant is None or facts.least is None or facts.is_bottomless:
            return
        # By a component's variance, or by telling every sample from all others.
        best = max(2 * facts.main_share, 1 / math.log(max(facts.samples, 2)))
        gain = best * (facts.constant - facts.least) / facts.code_cost
        if gain < 1:
            yield self.rules[0].found(
                self.name,
                "error",
                (),
                "what a nat in the code can gain over what it costs",
                measured=gain,
                limit=1.0,
            )
