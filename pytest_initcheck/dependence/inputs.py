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
    """Ask again with other weights: what is never read moves nothing, whatever they are.

    With slightly other ones nothing cancels that cancels by chance: a model less its own copy, say,
    is zero at its start for any input. With noise of the usual size nothing is rounded away, as
    weights are that are quantised where they are used.
    """
    for weights in (passes.shaken, passes.redrawn):
        if still:
            with weights():
                read = _moving(passes, still)
            found.read += read
            still = {place: change for place, change in still.items() if place not in read}
    found.unread += still


def _moving(passes: Passes, changes: dict[str, Change]) -> list[str]:
    try:
        reference = passes.reference()
        return [p for p, each in changes.items() if differs(reference, passes.changed(each))]
    except Exception:
        # Code that works with numbers may refuse what other weights make of them.
        return []


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
