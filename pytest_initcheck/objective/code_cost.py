"""What a nat in the code of a variational autoencoder costs, and what it can gain."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_initcheck.objective.tail import Key, Tail

# KL(N(μ, σ²) ‖ N(0, 1)) is (μ² + e^ℓ − 1 − ℓ)/2 with ℓ = log σ²: what ±1 in the logarithm of the
# variance, or of the standard deviation, adds to it, and what ±1 in the mean does.
_LOGS = tuple(((math.exp(k) - 1 - k) / 2, (math.exp(-k) - 1 + k) / 2) for k in (1, 2))
_MEAN = 0.5
_CLOSE = 0.02
# An eigenvalue needs no more samples, nor more values of each, to be told.
_SAMPLES, _VALUES = 256, 4096


def code_cost(tail: Tail) -> float | None:
    """What the loss charges for a nat of all samples, None where no KL to N(0, 1) is in it.

    Seen from what ±1 in single columns of those heads adds that no data are compared with: a
    divergence is known by the shape of its sides, however it is written.
    """
    heads = [key for key, name in tail.names.items() if not name and not _is_fed(tail, key)]
    if not heads or len(heads) == sum(not name for name in tail.names.values()):
        return None
    means, logs = [], []
    for up, down in _sides(tail, heads):
        if up <= 0 or down <= 0:
            return None
        if math.isclose(up, down, rel_tol=_CLOSE):
            means.append(up / _MEAN)
        logs += [
            up / high for high, low in _LOGS if math.isclose(up / high, down / low, rel_tol=_CLOSE)
        ]
    if not means or not logs or not math.isclose(means[0], logs[0], rel_tol=_CLOSE):
        return None
    return means[0]


def main_share(tail: Tail) -> float | None:
    """The share of the largest principal component in what the outputs are compared with."""
    sides = [t for t in tail.data if t.is_floating_point() and t.dim() and len(t) == tail.samples]
    if not sides or tail.samples < 2:
        return None
    rows = max(sides, key=lambda t: t.numel())[:_SAMPLES].flatten(1)[:, :_VALUES].double()
    rows = rows - rows.mean(0)
    total = float(rows.square().sum())
    return float(torch.linalg.matrix_norm(rows, 2)) ** 2 / total if total > 0 else None


def _is_fed(tail: Tail, key: Key) -> bool:
    """Whether data are among what is made of a head, up to the first number that sums it up."""
    made: set[int] = set()
    for call in tail.calls:
        is_behind = any(
            (v.call is None and v.key == key) or (v.call is not None and id(v.call) in made)
            for v in call.inputs
        )
        if is_behind and any(v.kind == "data" for v in call.inputs):
            return True
        if is_behind and call.results != [()]:
            made.add(id(call))
    return False


def _sides(tail: Tail, heads: list[Key]) -> Iterator[tuple[float, float]]:
    """What 1 and −1 in a column add to the loss, for the outer columns of each half of a head."""
    rest = {**tail.start, **{key: torch.zeros_like(tail.start[key]) for key in heads}}
    with torch.no_grad():
        base = float(tail.at(rest))
        for key in heads:
            width = tail.start[key].shape[-1] if tail.start[key].dim() else 0
            for column in sorted({0, (width - 1) // 2, width // 2, width - 1}) if width else ():
                one = _column(tail.start[key], column)
                up, down = (float(tail.at({**rest, key: sign * one})) for sign in (1, -1))
                yield up - base, down - base


def _column(like: Tensor, column: int) -> Tensor:
    one = torch.zeros_like(like)
    one[..., column] = 1
    return one
