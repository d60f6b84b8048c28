"""Whether samples leak into each other, and where."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pytest_initcheck.dependence.axes import along, moved_indices, readings
from pytest_initcheck.dependence.change import other_sample
from pytest_initcheck.dependence.exchange import Exchanges
from pytest_initcheck.dependence.follow import First, Second
from pytest_initcheck.dependence.frozen_statistics import Diverged
from pytest_initcheck.dependence.layout import BatchLayout
from pytest_initcheck.dependence.operations import is_replayable
from pytest_initcheck.dependence.passes import Change, NotAsked, Passes, PassResult, moved_output
from pytest_initcheck.evidence.dependencies import Exchange, Samples


def ask_samples(
    passes: Passes, reference: PassResult, layout: BatchLayout
) -> tuple[Samples, PassResult]:
    """Which samples' outputs move when one is replaced, and the pass in which it was.

    Raises:
        NotAsked: the batch or the output does not allow the question.
    """
    # A maximum over the samples, say, may belong to others than the first that is tried.
    silent: list[int] = []
    for sample in dict.fromkeys(((layout.count - 1) // 2, 0, layout.count - 1)):
        change = other_sample(passes.program.batch, layout.axis, sample, layout.count)
        if not change:
            raise NotAsked("samples: they are all alike")
        seen = passes.changed(change)
        hit = hit_samples(reference, seen, layout, sample)
        if hit:
            break
        silent.append(sample)
    found = Samples(
        count=layout.count, axis=layout.axis, perturbed=sample, moved=hit, silent=tuple(silent)
    )
    if not found.leaked:
        return found, seen
    return _explained(passes, reference, layout, found, change), seen


def _explained(
    passes: Passes, reference: PassResult, layout: BatchLayout, found: Samples, change: Change
) -> Samples:
    """What was found, with where the samples come together."""
    if not _is_repeatable(passes, reference):
        raise NotAsked("samples: two passes on one batch differ")
    exchanges = _trace(passes, change, layout, found.perturbed)
    is_certain = layout.is_clear and (layout.other is None or _leaks_along_other(passes, layout))
    return replace(found, exchanges=exchanges, is_certain=is_certain)


def hit_samples(
    before: PassResult, after: PassResult, layout: BatchLayout, sample: int
) -> tuple[int, ...]:
    """The samples whose output moved.

    Raises:
        NotAsked: no axis of the output counts samples.
    """
    mask = moved_output(before, after, "samples", "other samples")
    found = list(_read(mask, layout))
    if not found:
        shape = tuple(mask.shape)
        raise NotAsked(f"samples: no axis of the output {shape} counts {layout.count} samples")
    return min(found, key=lambda hit: (len(set(hit) - {sample}), sample not in hit))


def _read(mask: Tensor, layout: BatchLayout) -> list[tuple[int, ...]]:
    """What moved by each axis that may count samples; the first may hold several rows of each."""
    exact = [axis for axis in range(mask.dim()) if mask.shape[axis] == layout.count]
    axes = exact or ([0] if mask.dim() else [])
    return [hit for axis in axes for hit in readings(along(mask, axis), layout.count)]


def _is_repeatable(passes: Passes, reference: PassResult) -> bool:
    again = passes.reference()
    if reference.main is None or again.main is None or again.main.shape != reference.main.shape:
        return False
    return not bool(moved_indices(reference.main, again.main).any())


def _leaks_along_other(passes: Passes, layout: BatchLayout) -> bool:
    """Whether the other axis that may count samples leaks as well: then it is no sample axis."""
    axis, count = layout.other, layout.other_count
    if axis is None:
        return False
    other, sample = BatchLayout(axis=axis, count=count), (count - 1) // 2
    change = other_sample(passes.program.batch, axis, sample, count)
    if not change:
        return False
    try:
        reference = passes.reference()
        hit = hit_samples(reference, passes.changed(change), other, sample)
    except NotAsked:
        return False
    return bool(set(hit) - {sample})


def _trace(
    passes: Passes, change: Change, layout: BatchLayout, sample: int
) -> tuple[Exchange, ...]:
    """Where the samples come together; empty where that could not be followed."""
    model = passes.program.model
    visitor = Exchanges(layout.count, sample)
    try:
        first = First(model, is_replayable)
        before = passes.reference(first.running())
        first.trail.ends = first.ends
        second = Second(model, first.trail, visitor.visit)
        after = passes.changed(change, second.running())
        hit = hit_samples(before, after, layout, sample)
    except (Diverged, NotAsked):
        return ()
    leaks = bool(set(hit) - {sample})
    # What is pooled takes the place of the samples only where they all end alike.
    is_own = sample in hit or not _are_alike(before, layout)
    return visitor.found(first.trail, leaks=leaks, moves=is_own)


def _are_alike(seen: PassResult, layout: BatchLayout) -> bool:
    """Whether the output is the same for all samples."""
    if seen.main is None or not seen.main.dim() or seen.main.shape[0] != layout.count:
        return False
    return not bool(moved_indices(seen.main, seen.main[:1].expand_as(seen.main)).any())
