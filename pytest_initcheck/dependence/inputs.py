"""Which inputs the output and the loss depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from pytest_initcheck.dependence.change import inputs_of, other_input
from pytest_initcheck.dependence.passes import Change, Passes, PassResult

# Each input costs a pass.
_MOST_INPUTS = 8


@dataclass
class Inputs:
    """The inputs that are read, those that nothing reads, and why others were not asked about."""

    read: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)


def ask_inputs(
    passes: Passes, reference: PassResult, count: int, known: dict[str, PassResult]
) -> Inputs:
    """Which inputs move any bit of the output or of the loss.

    ``known`` are passes that were run with one input changed.
    """
    found, still = Inputs(), dict[str, Change]()
    inputs = inputs_of(passes.program.batch)
    for place, tensor in inputs.items():
        if place in known and differs(reference, known[place]):
            found.read.append(place)
            continue
        changed = other_input(tensor, count)
        if changed is None or len(inputs) > _MOST_INPUTS:
            reason = "it is constant" if changed is None else f"more than {_MOST_INPUTS} inputs"
            found.not_asked.append(f"{place}: {reason}")
            continue
        try:
            is_read = differs(reference, passes.changed({place: changed}))
        except Exception as error:
            told = f"the model refuses other values ({type(error).__name__})"
            found.not_asked.append(f"{place}: {told}")
            continue
        if is_read:
            found.read.append(place)
        else:
            still[place] = {place: changed}
    _confirm(passes, still, found)
    return found


def _confirm(passes: Passes, still: dict[str, Change], found: Inputs) -> None:
    """Ask again with slightly other weights, where nothing cancels that cancels by chance.

    A model less its own copy, say, is zero at its start for any input.
    """
    if not still:
        return
    with passes.shaken():
        reference = passes.reference()
        for place, change in still.items():
            is_read = differs(reference, passes.changed(change))
            (found.read if is_read else found.unread).append(place)


def differs(before: PassResult, after: PassResult) -> bool:
    """Whether any bit of the output or of the loss is another one."""
    if len(before.outputs) != len(after.outputs):
        return True
    pairs = zip((*before.outputs, before.loss), (*after.outputs, after.loss), strict=True)
    return any(_differs(old, new) for old, new in pairs)


def _differs(old: Tensor, new: Tensor) -> bool:
    if old.shape != new.shape:
        return True
    # NaN hides what it is computed from.
    return bool(((old != new) | (old != old)).any())
