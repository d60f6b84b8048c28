"""The model is fine, what it hands over is not: output, loss, targets and optimiser."""

from __future__ import annotations

from . import (
    acting,
    answers,
    asking,
    clamped,
    compared,
    density,
    holders,
    reach,
    reports,
    samples,
    scores,
    small,
    solved,
    squashed,
    unbounded,
)

CASES = [
    *squashed.CASES,
    *scores.CASES,
    *reach.CASES,
    *unbounded.CASES,
    *clamped.CASES,
    *samples.CASES,
    *holders.CASES,
    *asking.CASES,
    *answers.CASES,
    *acting.CASES,
    *density.CASES,
    *compared.CASES,
    *solved.CASES,
    *reports.CASES,
    *small.CASES,
]
