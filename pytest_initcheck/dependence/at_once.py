"""One pass in which a sample is another one and all have changed places; sound models stand it."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_initcheck.dependence.axes import along, moved_indices
from pytest_initcheck.dependence.batch_position import axes_of, neighbours, with_rows
from pytest_initcheck.dependence.change import other_sample
from pytest_initcheck.dependence.layout import BatchLayout
from pytest_initcheck.dependence.passes import Passes, PassResult
from pytest_initcheck.evidence.dependencies import Samples


def stand_both(
    passes: Passes, reference: PassResult, layout: BatchLayout
) -> tuple[Samples, PassResult] | None:
    """What is found where one sample moves its own output alone, wherever the samples stand.

    With the pass that showed it, its output in the order of the samples. None where it takes a
    pass for each of the two to tell.
    """
    try:
        seen = _changed(passes, reference, layout)
    except Exception:
        # What the model or the batch refuses is told by who asks one after the other.
        return None
    sample = _first(layout)
    if seen is None or seen.main is None or not _is_alone(reference, seen, sample):
        return None
    found = Samples(count=layout.count, axis=0, perturbed=sample, moved=(sample,))
    return found, seen


def _changed(passes: Passes, reference: PassResult, layout: BatchLayout) -> PassResult | None:
    tensors = with_rows(passes.program, layout.count)
    if layout.axis or axes_of(reference, layout.count) != [[0]]:
        return None
    change = other_sample(passes.program.batch, 0, _first(layout), layout.count)
    if not change:
        return None
    order = neighbours(layout.count)

    def swapped(tensor: Tensor) -> Tensor:
        return tensor[order.to(tensor.device)]

    seen = passes.changed({at: swapped(change.get(at, tensor)) for at, tensor in tensors.items()})
    return None if seen.main is None else replace(seen, main=swapped(seen.main))


def _first(layout: BatchLayout) -> int:
    return (layout.count - 1) // 2


def _is_alone(reference: PassResult, seen: PassResult, sample: int) -> bool:
    before, after = reference.main, seen.main
    if before is None or after is None or before.shape != after.shape:
        return False
    places: list[int] = along(moved_indices(before, after), 0).nonzero()[0].tolist()
    return places == [sample]
