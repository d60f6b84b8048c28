"""Which targets are changed, and into what, to see whose outputs they are compared with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# One might have the same target as its neighbour, or meet its own output by chance where axes were
# mixed up.
TRIALS = 3
_GOLDEN = 0.6180339887


def changes(targets: Tensor) -> Iterator[tuple[int, int]]:
    """Places of flattened targets that the loss asks for, each with one whose value is another."""
    flat = targets.reshape(-1)
    # What is negative where classes are whole numbers, or missing, is left aside by the loss.
    is_asked = ((flat >= 0) | targets.is_floating_point()) & flat.isfinite()
    asked = torch.nonzero(is_asked).reshape(-1)
    for trial in range(TRIALS if len(asked) > 1 else 0):
        # Not at even parts, where axes that were mixed up may meet again.
        own = int(asked[int(len(asked) * (_GOLDEN * (trial + 1) % 1.0))])
        others = asked[flat[asked] != flat[own]]
        if len(others):
            yield own, int(others[len(others) // 2])
