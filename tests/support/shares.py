"""What a claim about a share of seeds can find out."""

from __future__ import annotations

from pytest_initcheck.statistics import CONFIDENCE, at_most_chance, failing_count


def chance_of_failing(share, n, probability, confidence=CONFIDENCE):
    """The power of `share_at_least`: the probability that a true ``share`` fails it."""
    return at_most_chance(failing_count(n, probability, confidence), n, share)
