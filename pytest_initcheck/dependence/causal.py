"""Whether a causal model sees the future, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from pytest_initcheck.dependence.axes import along, readings
from pytest_initcheck.dependence.change import inputs_of, is_mask, targets_of, with_row
from pytest_initcheck.dependence.fingerprints import Spread
from pytest_initcheck.dependence.follow import First, Second
from pytest_initcheck.dependence.frozen_statistics import Diverged
from pytest_initcheck.dependence.inputs import differs
from pytest_initcheck.dependence.layout import BatchLayout
from pytest_initcheck.dependence.passes import Change, NotAsked, Passes, PassResult, moved_output
from pytest_initcheck.dependence.steps import Move, Trail
from pytest_initcheck.evidence.dependencies import Causality, Exchange

# What classes of language models that read from left to right are called in transformers.
_HEADS = ("ForCausalLM", "LMHeadModel")
# Those that are called so too, and read both ways.
_BOTH_WAYS = ("WithLMHeadModel",)


@dataclass(frozen=True)
class Claim:
    """Who says that a model is causal; ``is_certain`` where nothing speaks against it."""

    by: str
    is_certain: bool = True
    is_own: bool = True


def claimed(model: nn.Module, causal: bool | None) -> Claim | None:
    """Who says that a model is causal; None where nobody does."""
    if causal is not None:
        return Claim("causal=True", is_own=False) if causal else None
    config = getattr(model, "config", None)
    if config is None or isinstance(config, dict) or _reads_both_ways(config):
        return None
    if getattr(config, "is_decoder", False) is True:
        return Claim("config.is_decoder")
    name = type(model).__name__
    if not name.endswith(_HEADS) or name.endswith(_BOTH_WAYS):
        return None
    return (
        Claim(f"{name}, without config.is_decoder", False) if _is_encoder(config) else Claim(name)
    )


def _reads_both_ways(config: Any) -> bool:
    return (
        getattr(config, "is_encoder_decoder", False) is True
        or getattr(config, "is_causal", True) is False
        or getattr(config, "use_bidirectional_attention", False) is True
        or getattr(config, "attn_type", "") == "bi"
    )


def _is_encoder(config: Any) -> bool:
    """Whether a configuration says that its model, which could be a decoder, is none."""
    if getattr(config, "is_decoder", None) is not False:
        return False
    # In older versions every configuration says so, those of decoders too.
    general = (base for base in type(config).__mro__ if base.__name__.lower() == "pretrainedconfig")
    return not any(hasattr(base(), "is_decoder") for base in general)


def ask_causality(
    passes: Passes, reference: PassResult, layout: BatchLayout | None, claim: Claim
) -> Causality:
    """Which positions' outputs move when one in the middle is replaced.

    Where several axes may be time, the model is at fault only if it is by each of them.

    Raises:
        NotAsked: no axis of the inputs and of the output is a time axis, or the loss of a model
            that calls itself causal predicts no next token.
    """
    place, data = _sequence(passes.program.batch)
    found: list[tuple[Causality, Change]] = []
    for axis in _time_axes(data, reference, layout):
        change = _changed(data, place, axis)
        if change:
            asked = _ask(passes, reference, change, data, axis)
            found.append((replace(asked, declared=claim.by, is_certain=claim.is_certain), change))
            if _exchanges(asked) and not asked.earlier:
                break
    if not found:
        raise NotAsked("positions: no axis of the inputs is one of the output, too")
    sound = (pair for pair in found if _exchanges(pair[0]) and not pair[0].earlier)
    mixed = sorted(
        (pair for pair in found if _exchanges(pair[0])), key=lambda pair: _share(pair[0])
    )
    chosen, change = next(sound, None) or next(iter(mixed), None) or found[0]
    if not chosen.earlier:
        return chosen
    if claim.is_own and _predicts_in_place(passes, reference):
        raise NotAsked(f"positions: {claim.by}, but its loss predicts no next token")
    return _located(passes, chosen, change)


def _predicts_in_place(passes: Passes, reference: PassResult) -> bool:
    """Whether the loss reads the first label, which a loss of next tokens leaves out."""
    labels = {p: t for p, t in targets_of(passes.program.batch).items() if t.dim() == 2}
    change = {p: c for p, t in labels.items() if (c := with_row(t, 1, 0)) is not None}
    return bool(change) and differs(reference, passes.changed(change))


def _sequence(batch: Any) -> tuple[str, Tensor]:
    """The input whose positions are replaced: what a decoder reads, ids, or the first data."""
    known = {p: t for p, t in inputs_of(batch).items() if t.dim() and not is_mask(t)}
    decoder = (place for place in known if "decoder_input_ids" in place)
    ids = (place for place, t in known.items() if not t.is_floating_point() and t.dim() == 2)
    data = (place for place, t in known.items() if t.dim() > 1)
    place = next(decoder, None) or next(ids, None) or next(data, None) or next(iter(known), None)
    if place is None:
        raise NotAsked("positions: the batch holds no sequence")
    return place, known[place]


def _time_axes(data: Tensor, reference: PassResult, layout: BatchLayout | None) -> Iterator[int]:
    """The axes of the inputs that may be time, the likeliest first."""
    main = reference.main
    if main is None:
        return
    first = [1] if layout is None or layout.axis == 0 else [0]
    is_alone = data.dim() == 1 or (data.dim() == 2 and data.is_floating_point())
    if layout is None or layout.other is not None or is_alone:
        first.append(0)
    # Convolutions take the channels before time.
    later = range(2, data.dim()) if data.is_floating_point() else ()
    for axis in (*first, *later):
        if axis < data.dim() and data.shape[axis] > 1 and _has(main, data.shape[axis]):
            yield axis


def _has(output: Tensor, length: int) -> bool:
    return length in output.shape or (output.dim() > 0 and output.shape[0] % length == 0)


def _changed(data: Tensor, place: str, axis: int) -> Change:
    found = with_row(data, axis, data.shape[axis] // 2)
    return {} if found is None else {place: found}


def _ask(
    passes: Passes, reference: PassResult, change: Change, data: Tensor, axis: int
) -> Causality:
    length, position = data.shape[axis], data.shape[axis] // 2
    hit = hit_positions(reference, passes.changed(change), length, position)
    (place,) = change
    return Causality(length=length, perturbed=position, moved=hit, place=place, axis=axis)


def _share(found: Causality) -> float:
    """Along time, an operation may reach a few positions; along features, it reaches all."""
    return len(found.moved) / found.length


def _exchanges(found: Causality) -> bool:
    return bool(set(found.moved) - {found.perturbed})


def hit_positions(
    before: PassResult, after: PassResult, length: int, position: int
) -> tuple[int, ...]:
    """The positions whose output moved, by the reading of the axes that is kindest to the model.

    Raises:
        NotAsked: the output has another shape, or is not finite.
    """
    mask = moved_output(before, after, "positions", "another sequence")
    found = []
    for axis in range(mask.dim()):
        if axis == 0 or mask.shape[axis] == length:
            found += list(readings(along(mask, axis), length))
    return min(found, key=lambda hit: (sum(i < position for i in hit), len(hit)), default=())


def _located(passes: Passes, found: Causality, change: Change) -> Causality:
    """The finding with the operation where the future comes in."""
    model = passes.program.model
    visitor = _Future(found.length, found.perturbed)
    try:
        first = First(model, lambda _: False)
        passes.reference(first.running())
        first.trail.ends = first.ends
        passes.changed(change, Second(model, first.trail, visitor.visit).running())
    except Diverged:
        return found
    return replace(found, exchange=visitor.first(first.trail))


class _Future:
    """Visits the operations of a pass in which one position was replaced."""

    def __init__(self, length: int, position: int) -> None:
        self._length, self._position = length, position
        self._born: dict[int, Exchange] = {}

    def visit(self, move: Move) -> bool:
        """Note where earlier positions moved first; nothing is replayed."""
        result = move.result
        if result is None or move.is_view or not move.moved or not self._is_early(result):
            return False
        if not any(self._is_early(spread) for spread in move.moved):
            operator = move.operator.strip("_")
            self._born[move.index] = Exchange(owner=move.owner, operator=operator)
        return False

    def first(self, trail: Trail) -> Exchange | None:
        """The first of them that reaches the output."""
        path = trail.path()
        return next((self._born[index] for index in sorted(self._born) if index in path), None)

    def _is_early(self, spread: Spread) -> bool:
        """Whether, by every axis that may be time, something moved before the position.

        Scores of every position against every say nothing yet: a mask may follow.
        """
        if spread.shape[-2:] == (self._length, self._length):
            return False
        hits = [
            hit
            for size, flags in zip(spread.shape, spread.flags, strict=True)
            for hit in readings(flags, self._length)
            if size > 1
        ]
        return bool(hits) and all(any(i < self._position for i in hit) for hit in hits)
