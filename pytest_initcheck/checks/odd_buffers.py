"""Buffers that cannot be meant as they are: running statistics, frequencies, masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_initcheck.checks.construction import described
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.buffers import OddBuffer, Role
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.records import Finding

# Of the rules, in their order.
_ROLES: tuple[tuple[Role, ...], ...] = (("statistics",), ("table", ""), ("mask",))


class OddBuffers:
    """Reads what was seen of the buffers before the first pass."""

    name = "buffers"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC133",
            title="running statistics that are not at rest",
            cause="a normalisation starts with statistics of data that it has not seen: they are "
            "wrong in eval mode, and fade only with momentum's pace",
            limit="means of zero and variances of one, where no batch has been seen; finite "
            "values, no variance below zero, and not all of them zero",
            reference="PyTorch documentation: torch.nn.BatchNorm2d; Ioffe, Szegedy: Batch "
            "Normalization (2015)",
            follows=frozenset({"IC111"}),
            quantity="running means and variances at odds with the number of batches seen",
            exempt="statistics that a checkpoint or a first pass wrote; of a model that was not "
            "passed as a factory only values that are no statistics at all",
            severities=("error", "warning"),
            remedy="call reset_running_stats(), and leave buffers out of what initialises weights",
        ),
        Rule(
            id="IC134",
            title="a table that tells nothing",
            cause="frequencies, sines or positions are computed once, where the model is built, "
            "and nothing ever mends them",
            limit="finite values that are not all the same",
            reference="Su et al.: RoFormer (2021), section 3.2; huggingface/transformers #34234",
            follows=frozenset({"IC111"}),
            quantity="tables of frequencies or positions that hold NaN, infinities or one value; "
            "NaN in any buffer",
            exempt="tables of one value; buffers whose name does not say that they are one",
            severities=("error", "warning"),
            remedy="compute it where the model is initialised, after to_empty() too, in float32",
        ),
        Rule(
            id="IC135",
            title="a mask that hides the wrong",
            cause="the mask lets positions see what they shall not, or hides what they need",
            limit="a triangle that marks the past and the position itself, or what comes after it",
            reference="Vaswani et al.: Attention Is All You Need (2017), section 3.2.3",
            follows=frozenset({"IC111"}),
            quantity="square masks that mark everything, nothing, or the wrong triangle",
            exempt="masks that are no triangle; masks that are made anew in each pass (IC806 sees "
            "what they let through)",
            severities=("error", "warning"),
            remedy="torch.ones(n, n, dtype=torch.bool).tril() for what may be seen, or "
            "torch.full((n, n), -torch.inf).triu(1) for what is added to the logits",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._judge(evidence.odd_buffers, evidence.construction)

    def judge(self, facts: ConstructionFacts) -> Iterator[Finding]:
        """What the values show where the model was built; no pass of it is needed."""
        yield from self._judge(facts.odd_buffers, facts)

    def _judge(
        self, odd: Iterable[OddBuffer], facts: ConstructionFacts | None
    ) -> Iterator[Finding]:
        by_role: dict[Role, list[OddBuffer]] = {}
        for buffer in odd:
            if _is_garbage(buffer, facts):
                continue
            if buffer.is_broken or buffer.role != "statistics" or _is_fresh(buffer, facts):
                by_role.setdefault(buffer.role, []).append(buffer)
        for rule, roles in zip(self.rules, _ROLES, strict=True):
            found = [buffer for role in roles for buffer in by_role.get(role, ())]
            if found:
                yield self._found(rule, found, facts)

    def _found(self, rule: Rule, odd: list[OddBuffer], facts: ConstructionFacts | None) -> Finding:
        layers = tuple(dict.fromkeys(buffer.layer or buffer.name for buffer in odd))
        names = described([f"{buffer.name}{_story(buffer, facts)}: {buffer.why}" for buffer in odd])
        return rule.found(
            self.name,
            "error" if any(buffer.is_broken for buffer in odd) else "warning",
            layers,
            "buffers that cannot be meant so",
            measured=len(odd),
            limit=0,
            cause=f"{names}: {rule.cause}",
        )


def _is_garbage(buffer: OddBuffer, facts: ConstructionFacts | None) -> bool:
    """Whether nothing wrote to it, so that its values are whatever lay there."""
    built = facts.of(buffer.name) if facts else None
    return built is not None and built.unwritten >= 1


def _is_fresh(buffer: OddBuffer, facts: ConstructionFacts | None) -> bool:
    """Whether it is known that nobody loaded the values."""
    built = facts.of(buffer.name) if facts else None
    return built is not None and all("load" not in w.call for w in built.writes)


def _story(buffer: OddBuffer, facts: ConstructionFacts | None) -> str:
    built = facts.of(buffer.name) if facts else None
    return f" ({str(built) or 'never written'})" if built else ""
