"""Draws that are not as draws are: by the values of what the ledger says was drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.construction import described, layers_of
from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.construction import Built, ConstructionFacts, Draw
from pytest_initcheck.records import Finding

# The chance that one of a model's weights is called impossible where all are sound.
_ALPHA = 1e-6
# A law of so few values was meant to be one (signs, codes); of fewer still it is rounding.
_DISTINCT = 8


class Draws:
    """Reads the ledger of a model that was given as a factory; silent where there is none."""

    name = "draws"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC114",
            title="an impossible outlier",
            cause="a value lies where no draw of this size has one: the initialiser made it by an "
            "overflow, a division or a clamp, and it outweighs all others",
            limit="ln(n / α) / |ln p| times the distance that a share p of the n values exceeds: "
            f"what an exponential tail reaches with a chance of α = {number(_ALPHA)}; normal and "
            "uniform draws lie within",
            reference="extreme values of exponential tails; pytorch/pytorch #145498, #155588; "
            "pytorch/torchtitan #2269",
            quantity="distance of the value furthest from the mean over that at which the tail "
            "begins",
            exempt="weights that are not drawn as a whole by one call; the weights of a model that "
            "was not passed as a factory; heavier tails than exponential ones, on purpose",
            severities=("warning",),
            remedy="draw again, and look at the initialiser: bounds of trunc_normal_ far beyond "
            "its std, half precision",
        ),
        Rule(
            id="IC115",
            title="a draw that repeats itself",
            cause="the rows, or the columns, come again after a period: parts were drawn from one "
            "seed, as shards are on each rank, and what is equal stays equal",
            limit="no period",
            reference="pytorch/torchtitan #3106",
            quantity="rows, or columns, after which all of a drawn weight's come again",
            exempt="rows of a single value; weights of one dimension",
            severities=("warning",),
            remedy="draw the whole weight from one stream, or give every shard a seed of its own",
        ),
        Rule(
            id="IC116",
            title="two draws of the same values",
            cause="two weights were drawn and hold the same values: the seed was set anew between "
            "the draws",
            limit="no two drawn weights equal",
            reference="Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4: initial "
            "parameters must break symmetry",
            quantity="drawn weights that hold the values of another",
            exempt="tied weights; copies, which were not drawn (IC204 judges what they do)",
            severities=("warning",),
            remedy="set the seed once, outside of the modules",
        ),
        Rule(
            id="IC117",
            title="a draw that rounding took away",
            cause="hardly a value differs from the next: the deviation lies below what the dtype "
            "tells apart around the mean",
            limit=f"{number(_DISTINCT)} different values",
            reference="IEEE 754; bfloat16 has 8 significant bits",
            quantity="different values of a weight that was drawn from a continuous law",
            exempt="laws of few values (bernoulli_, random_, signs); fewer values in all",
            severities=("warning",),
            remedy="draw in float32 and round the result, with a deviation that the dtype can hold",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        if evidence.construction is not None:
            yield from self.judge(evidence.construction)

    def judge(self, facts: ConstructionFacts) -> Iterator[Finding]:
        """What the ledger alone shows; no pass of the model is needed."""
        outlier, repeats, twins, rounded = self.rules
        whole = [(b, b.draw) for b in facts.tensors if b.draw is not None and _is_whole(b)]
        far = [(b, d.tail, _limit(b, d)) for b, d in whole if d.tail and d.tail > _limit(b, d)]
        drawn = [(b, b.draw) for b in facts.tensors if b.draw is not None and b.kind == "parameter"]
        again = [(b, float(d.rows or d.columns), 0.0) for b, d in drawn if d.rows or d.columns]
        alike = [(b, float(len(b.twins)), 0.0) for b, _ in whole if b.twins]
        few = [(b, d) for b, d in whole if not _is_discrete(b) and d.distinct < _DISTINCT]
        same = [(b, float(d.distinct), float(_DISTINCT)) for b, d in few]
        yield from self._found(outlier, far)
        yield from self._found(repeats, again)
        yield from self._found(twins, alike)
        yield from self._found(rounded, same)

    def _found(self, rule: Rule, bad: list[tuple[Built, float, float]]) -> Iterator[Finding]:
        if bad:
            _, measured, limit = max(bad, key=lambda one: one[1] / max(one[2], 1))
            names = described([f"{built.name} ({built})" for built, *_ in bad])
            yield rule.found(
                self.name,
                "warning",
                layers_of([built for built, *_ in bad]),
                rule.quantity,
                measured=measured,
                limit=limit,
                cause=f"{names}: {rule.cause}",
            )


def _limit(built: Built, draw: Draw) -> float:
    return math.log(math.prod(built.shape) / _ALPHA) / math.log(1 / draw.tail_share)


def _is_whole(built: Built) -> bool:
    """Drawn at once: a patchwork of draws, or one with values set after it, has no one law."""
    return built.kind == "parameter" and built.is_whole


def _is_discrete(built: Built) -> bool:
    return any(write.discrete for write in built.effective)
