"""Parameters that several ranks hold: replicas that differ, and shards that do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_initcheck.checks.construction import described
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.agreement import Pair
from pytest_initcheck.records import Finding, Severity


class Sharding:
    """Reads what the ranks compared; silent for a model of one process."""

    name = "sharding"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC118",
            title="replicas that differ",
            cause="two ranks start the same parameter from other values: each computes gradients "
            "at another place, and their mean is the gradient of neither",
            limit="no bit that differs",
            reference="allenai/OLMo-core #319; Li et al.: PyTorch Distributed (2020), section 3: "
            "all replicas start from the same state",
            quantity="parameters whose replicas differ between ranks",
            exempt="parameters that DDP is told to ignore, and those that each rank holds a part "
            "of; models of one process",
            remedy="seed every rank alike before the model is built, or broadcast its state from "
            "rank 0",
        ),
        Rule(
            id="IC119",
            title="shards of the same values",
            cause="two ranks hold other parts of a parameter, and the parts are equal bit for bit: "
            "each drew its own from the same seed, and units that start in equal pairs stay equal",
            limit="no two parts equal",
            reference="pytorch/torchtitan #3106",
            quantity="sharded parameters of which two parts are equal",
            exempt="parts whose rows, or columns, are all equal, such as zeros and ones; models of "
            "one process",
            severities=("warning",),
            remedy="draw the whole tensor and shard it then, or give every shard a seed of its own",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found = evidence.agreement
        if found is not None:
            unequal, repeated = self.rules
            yield from self._told(unequal, "error", found.unequal)
            yield from self._told(repeated, "warning", found.repeated)

    def _told(self, rule: Rule, severity: Severity, pairs: Sequence[Pair]) -> Iterator[Finding]:
        if pairs:
            yield rule.found(
                self.name,
                severity,
                tuple(dict.fromkeys(pair.layer for pair in pairs)),
                rule.quantity,
                measured=len(pairs),
                limit=0,
                cause=f"{described([str(pair) for pair in pairs])}: {rule.cause}",
            )
