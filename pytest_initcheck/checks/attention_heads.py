"""Single heads of attention that leave no choice, among others that do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.saturation import ATTENTION, has_score_temperature
from pytest_initcheck.evidence import Array, Evidence, HeadsSnapshot
from pytest_initcheck.evidence.attention import attention_at
from pytest_initcheck.evidence.signals import finite_looks
from pytest_initcheck.records import Finding


@dataclass(frozen=True)
class _Collapsed:
    """The heads of one attention that collapsed, with the first look at it and the last."""

    name: str
    heads: tuple[int, ...]
    first: HeadsSnapshot
    last: HeadsSnapshot


class Heads:
    """Looks at each head by itself, at the start and after the steps."""

    name = "heads"
    aspects = frozenset({"saturation"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC308",
            title="a collapsed head",
            cause="a head of attention puts nearly all weight on one position, while the mean over "
            "all heads hides it: its scores get next to no gradient",
            limit=f"1 − Σp² of each head, relative to equal shares, at least {percent(ATTENTION)}, "
            "at the start and after the steps",
            reference="Zhai et al.: Stabilizing Transformer Training by Preventing Attention "
            "Entropy Collapse (2023); Vaswani et al.: Attention Is All You Need (2017), section "
            "3.2.1",
            follows=frozenset({"IC104", "IC111", "IC305", "IC501", "IC502", "IC603", "IC701"}),
            quantity="1 − Σp² of a head, mean over queries that have a choice, relative to that of "
            "equal shares",
            exempt="heads that are uniform; attention whose mean is told as IC305; scores of "
            "normalised queries and keys, whose gain is a temperature to learn; masked positions",
            severities=("warning",),
            remedy="draw the queries and keys of all heads alike, and divide the scores by the "
            "square root of the head's width",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found = list(_collapsed(evidence))
        if found:
            worst = min(found, key=lambda one: _least(one)[0])
            least, head = _least(worst)
            yield self.rules[0].found(
                self.name,
                "warning",
                [one.name for one in found],
                "1 − Σp² of the head, relative to equal shares",
                measured=least,
                limit=ATTENTION,
                units=worst.heads,
                cause=f"{_told(worst, head)}: {self.rules[0].cause}",
                profile={f"{worst.name}, head {i}": float(v) for i, v in enumerate(_passed(worst))},
            )


def _collapsed(evidence: Evidence) -> Iterator[_Collapsed]:
    looks = [look.heads for look in finite_looks(evidence) if look.heads]
    for key, first in looks[0].items() if looks else ():
        nodes = attention_at(evidence.nodes, *key)
        if not nodes or any(has_score_temperature(evidence, node) for node in nodes):
            continue
        last = looks[-1].get(key, first)
        passed = _lowest(first, last)
        # Where most of it is shut, the mean says so.
        if passed.mean() >= ATTENTION and passed.min() < ATTENTION:
            heads = tuple(int(head) for head in np.flatnonzero(passed < ATTENTION))
            yield _Collapsed(key[0] or key[1], heads, first, last)


def _lowest(first: HeadsSnapshot, last: HeadsSnapshot) -> Array:
    both = first.passed, last.passed
    lowest: Array = np.minimum(*both) if first.passed.shape == last.passed.shape else both[0]
    return lowest


def _passed(one: _Collapsed) -> Array:
    return _lowest(one.first, one.last)


def _least(one: _Collapsed) -> tuple[float, int]:
    passed = _passed(one)
    return float(passed.min()), int(passed.argmin())


def _told(one: _Collapsed, head: int) -> str:
    """ "head 2 of 8 in 'attn': entropy 4 % of that of equal shares, largest score 81"."""
    at, then = one.first, one.last
    text = f"head {head} of {len(at.passed)} in '{one.name}': entropy {percent(at.entropy[head])} "
    text += f"of that of equal shares, largest score {at.largest[head]:.3g}"
    if len(then.passed) == len(at.passed):
        text += f" (after the steps {percent(then.entropy[head])} and {then.largest[head]:.3g})"
    return text
