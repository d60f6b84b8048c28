"""What of a record can change when the code breaks; the rest guards nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from pytest_initcheck.records import Curve, LayerRecord, RunRecord

# Two points are equal sooner than three by what a float can tell.
FEWEST_POINTS = 3


def guards_nothing(record: RunRecord) -> str:
    """Why no number of the record could change when the code breaks; empty where one could.

    Zeros stay zero whatever is multiplied by them. Where all gradients are zero, no step moves a
    weight, however wrong it is; and a loss that is the same at every point was moved by nothing,
    so that what breaks the training leaves it as it is. A score that stays at its best is another
    matter: a fault takes it from there.
    """
    looks = [model for model in (record.before, record.after) if model is not None]
    layers = [layer for look in looks for layer in look.layers]
    if layers:
        is_still = _is_without_gradient(layers)
        return "every gradient of it is zero, so that no step moves anything" if is_still else ""
    numbers = list(_numbers(record))
    if not any(map(math.isfinite, numbers)):
        return "no number of it is finite" if numbers else "there is no number in it"
    if not any(numbers):
        return "every number of it is zero"
    still = [name for name, curves in record.curves.items() if _is_loss(name) and is_flat(curves)]
    moving = (curves for name, curves in record.curves.items() if name not in still)
    rest = (*(x for values in record.metrics.values() for x in values), *_points(moving))
    if still and not any(rest):
        return f"{_named(still)} the same at every point, so that nothing in it moves"
    return ""


def doubts(record: RunRecord) -> Iterator[str]:
    """What of a record that guards something does not: curves that stay, layers that do."""
    for name, curves in record.curves.items():
        if is_flat(curves):
            yield (
                f"curve {name!r} is {curves[0][0]:.4g} at each of its {len(curves[0])} points: "
                "only its level is guarded"
            )
    still = list(_still_layers(record))
    if still:
        more = f" and {len(still) - 3} more" if len(still) > 3 else ""
        named = ", ".join(map(repr, still[:3]))
        yield f"no gradient reaches {named}{more} before or after the steps"


def is_flat(curves: Iterable[Curve]) -> bool:
    """Whether each of the curves has one value at all of its points, of which there are some."""
    known = list(curves)
    return bool(known) and all(len(c) >= FEWEST_POINTS and len(set(c)) == 1 for c in known)


def _numbers(record: RunRecord) -> Iterator[float]:
    for values in record.metrics.values():
        yield from values
    yield from _points(record.curves.values())


def _points(curves: Iterable[Iterable[Curve]]) -> Iterator[float]:
    return (x for own in curves for curve in own for x in curve)


def _is_loss(name: str) -> bool:
    return "loss" in re.findall("[a-z]+", name.lower())


def _named(names: list[str]) -> str:
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(map(repr, names))} {verb}"


def _is_without_gradient(layers: Iterable[LayerRecord]) -> bool:
    """Whether there are gradients of weights, and all of them are zero."""
    gradients = [stats for layer in layers for stats in layer.gradients.values()]
    return bool(gradients) and all(stats.zero_share >= 1 for stats in gradients)


def _still_layers(record: RunRecord) -> Iterator[str]:
    # One look does not tell: where a branch starts at zero, its gradients come with the first step.
    if record.before is None or record.after is None:
        return
    after = {layer.name: layer for layer in record.after.layers}
    for layer in record.before.layers:
        later = after.get(layer.name, layer)
        if _is_without_gradient([layer]) and _is_without_gradient([later]):
            yield layer.name
