"""What moved with weights that differ while others are equal: told under their cause."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.baseline.samples import marks
from pytest_initcheck.records import ModelRecord, TensorStats

MOST = 4
# Less than this much is not worth a word beside its cause.
_LEAST = 1.1


def consequences(actual: ModelRecord, expected: ModelRecord) -> Iterator[str]:
    """One note on the signals that moved most, where only a part of the start has changed.

    Nothing is judged here: signals follow from the weights, and of how much of them is chance only
    the part is known that the weights are.
    """
    mine, theirs = marks(actual), marks(expected)
    equal = [name for name in mine if mine[name] and mine[name] == theirs.get(name)]
    if not equal or len(equal) == len(mine):
        return
    moved = sorted(_moved(actual, expected), key=lambda item: -abs(math.log(item[1])))
    told = [f"{name} ×{ratio:.3g}" for name, ratio in moved[:MOST] if _is_large(ratio)]
    if told:
        yield f"{len(equal)} of {len(mine)} tensors are as they were; what moved: {', '.join(told)}"


def _is_large(ratio: float) -> bool:
    return max(ratio, 1 / ratio) >= _LEAST


def _moved(actual: ModelRecord, expected: ModelRecord) -> Iterator[tuple[str, float]]:
    """The ratio of the sizes of every signal to those in the baseline."""
    theirs = {layer.name: layer for layer in expected.layers}
    for layer in actual.layers:
        other = theirs.get(layer.name)
        if other is not None:
            yield from _ratio(f"{layer.name} activations", layer.activations, other.activations)
            for name, stats in layer.gradients.items():
                yield from _ratio(
                    f"{layer.name} gradient of {name}", stats, other.gradients.get(name)
                )
    yield from _ratio("outputs", actual.outputs, expected.outputs)
    loss, was = actual.loss or 0.0, expected.loss or 0.0
    if 0 < loss < math.inf and 0 < was < math.inf:
        yield "loss", loss / was


def _ratio(name: str, a: TensorStats | None, e: TensorStats | None) -> Iterator[tuple[str, float]]:
    if a and e and a.rms and e.rms and math.isfinite(a.rms / e.rms):
        yield name, a.rms / e.rms
