"""Attention heads and routers as records."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.evidence import Array, ChoiceSnapshot, Node, Snapshot
from pytest_initcheck.evidence.attention import attention_at
from pytest_initcheck.records import ExpertsRecord, HeadsRecord


def heads_records(look: Snapshot, nodes: Sequence[Node]) -> tuple[HeadsRecord, ...]:
    """One record for each attention of a look; other softmaxes are left out."""
    return tuple(
        HeadsRecord(
            name=key[0] or key[1],
            entropy=_rounded(heads.entropy),
            passed=_rounded(heads.passed),
            largest=_rounded(heads.largest),
        )
        for key, heads in look.heads.items()
        if attention_at(nodes, *key)
    )


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)


def experts_records(look: Snapshot) -> tuple[ExpertsRecord, ...]:
    """One record for each choice among the outputs of a layer."""
    return tuple(
        ExpertsRecord(
            router=choice.layer,
            counts=choice.counts,
            picked=choice.picked,
            dispersion=_dispersion(choice),
        )
        for choice in look.choices
    )


def _dispersion(choice: ChoiceSnapshot) -> float:
    """χ² / (E − 1) against equal chances, a token being without choice of one expert twice."""
    experts, total = len(choice.counts), sum(choice.counts)
    mean, chance = total / experts, choice.picked / experts
    square = sum((count - mean) ** 2 for count in choice.counts)
    return square / (mean * (1 - chance) * experts) if mean and chance < 1 else 0.0
