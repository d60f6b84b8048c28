"""What of the batch the loss takes as it was given."""

from __future__ import annotations

from torch import Tensor

from pytest_initcheck.capture.program import tensors_of
from pytest_initcheck.objective.tail import Tail


def given_sides(tail: Tail) -> list[Tensor]:
    """The data of the loss that are the targets as they were given; all, where none of them is.

    What a loss makes of its targets, such as 1 − y, says the opposite of them.
    """
    given = [t for t in tensors_of(tail.result.targets) if t.dim()]
    return [side for side in tail.data if any(_is_same(side, t) for t in given)] or list(tail.data)


def _is_same(side: Tensor, targets: Tensor) -> bool:
    if side.numel() != targets.numel():
        return False
    return bool((side.reshape(-1) == targets.reshape(-1)).all())
