"""Models whose right verdict is known, each with the cause that a diagnosis must name."""

from __future__ import annotations

from . import (
    architectures,
    attention,
    bugs,
    construction,
    contract,
    convolutional,
    dense,
    faults,
    healthy,
    recurrent,
    residual,
    symmetry,
    unusual,
    variants,
)
from .case import Case, Start

__all__ = ["Case", "Start", "all_cases"]

TOPICS = (
    symmetry,
    faults,
    bugs,
    variants,
    healthy,
    architectures,
    dense,
    convolutional,
    recurrent,
    attention,
    residual,
    unusual,
    contract,
    construction,
)


def all_cases() -> list[Case]:
    """Every case of the corpus, by topic."""
    return [case for topic in TOPICS for case in topic.CASES]
