"""The model is fine, what it hands over is not: output, loss, targets and optimiser."""

from __future__ import annotations

import dataclasses

from . import (
    acting,
    answers,
    asking,
    clamped,
    compared,
    crossed,
    density,
    dropped,
    holders,
    interleaved,
    lost,
    paced,
    reach,
    reported,
    reports,
    reshaped,
    samples,
    scored,
    scores,
    small,
    solved,
    squashed,
    stepped,
    tables,
    termwise,
    twice,
    unbounded,
    wiring,
)

# What no diagnosis finds today, and why.
MISSED = {
    "dice on raw scores": "its quotient has a pole, and no way down to it",
    "triplets without a margin": "without targets it may be a critic's loss",
    "normalisation along the batch": "a statistic beside the samples' own values may be meant",
    "convolution along the batch": "an unbatched sequence is convolved in the same way",
    "time that a denoiser does not read": "forward= may draw more than the model needs",
    "judge's optimiser in the generator's step": "a judge's step looks the same",
    "like samples alone": "without targets from the batch a constant may be right",
}
_ALL = [
    *squashed.CASES,
    *scores.CASES,
    *reach.CASES,
    *unbounded.CASES,
    *wiring.CASES,
    *clamped.CASES,
    *samples.CASES,
    *holders.CASES,
    *asking.CASES,
    *answers.CASES,
    *acting.CASES,
    *density.CASES,
    *compared.CASES,
    *solved.CASES,
    *reported.CASES,
    *reports.CASES,
    *reshaped.CASES,
    *interleaved.CASES,
    *lost.CASES,
    *scored.CASES,
    *crossed.CASES,
    *small.CASES,
    *tables.CASES,
    *paced.CASES,
    *twice.CASES,
    *stepped.CASES,
    *termwise.CASES,
    *dropped.CASES,
]
CASES = [
    dataclasses.replace(case, missed=MISSED.get(case.name.removeprefix("contract "), ""))
    for case in _ALL
]
