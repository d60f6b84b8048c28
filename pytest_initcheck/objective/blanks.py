"""Labels that a loss over alignments takes for none."""

from __future__ import annotations

from typing import Any

import torch

from pytest_initcheck.objective.tail import Tail
from pytest_initcheck.objective.tape import TapeCall, Value

_ARGUMENTS = ("log_probs", "targets", "input_lengths", "target_lengths", "blank")


def blank_labels(tail: Tail) -> float:
    """The share of the labels of a CTC loss that are its blank; 0 without such a loss.

    An alignment does not tell them from no label at all: some are counted twice, and the loss
    falls below zero, as if there were more than all probability.
    """
    calls = [call for call in tail.calls if call.name == "ctc_loss"]
    return max((_share(tail, call) for call in calls), default=0.0)


def _share(tail: Tail, call: TapeCall) -> float:
    """Of the labels within their lengths; what stands behind is padding."""
    given: dict[str, Any] = {**dict(zip(_ARGUMENTS, call.args, strict=False)), **call.kwargs}
    with torch.no_grad():
        known = tail.play(tail.start)
    targets, lengths = (
        torch.as_tensor(tail.seen(value, known) if isinstance(value, Value) else value)
        for value in (given["targets"], given["target_lengths"])
    )
    if targets.dim() > 1:
        places = torch.arange(targets.shape[1], device=targets.device)
        targets = targets[places < lengths.to(targets.device)[:, None]]
    return float((targets == given.get("blank", 0)).double().mean()) if targets.numel() else 0.0
