"""Derivatives of the model without their graph, beside values of the model that have theirs."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.objective.tail import SUMS, Tail
from pytest_initcheck.objective.tape import TapeCall, heads_behind

_COMPARED = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})


def lost_slope(tail: Tail) -> float:
    """The size of a derivative without gradient, as a share of the sum that it is part of.

    What is beside it was made by the very layers that were differentiated, as in the residual of a
    differential equation. Derivatives that go into a layer, that weigh something, or are targets
    of another network are not asked.
    """
    calls = [call for call in tail.calls if call.name in SUMS | _COMPARED and _is_mixed(call)]
    if not calls:
        return 0.0
    with torch.no_grad():
        known = tail.play(tail.start)
    return max(_share(tail, call, known) for call in calls)


def _is_mixed(call: TapeCall) -> bool:
    lost = frozenset[int | str]().union(*(v.slope_of for v in call.inputs if v.is_cut))
    return bool(lost) and any(v.is_free and heads_behind(v) & lost for v in call.inputs)


def _share(tail: Tail, call: TapeCall, known: dict[object, object]) -> float:
    sizes = {True: 0.0, False: 0.0}
    for value in call.inputs:
        seen = tail.seen(value, known)
        if isinstance(seen, Tensor) and seen.numel() > 1:
            sizes[value.is_cut] += float(seen.double().square().mean().sqrt())
    return sizes[True] / (sum(sizes.values()) or 1.0)
