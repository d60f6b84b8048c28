"""The first look, and of the same pass what the loss can reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.program import Program, tensors_of
from pytest_initcheck.capture.restore import Saved, preserved
from pytest_initcheck.capture.snapshot import SnapshotTaker, Taken
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.objective.facts import facts_in
from pytest_initcheck.objective.tail import NotPlayed, TailRecorder
from pytest_initcheck.objective.unusual_tensors import has_unusual_tensors


@dataclass(frozen=True)
class FirstPass:
    """Who takes the looks, the first of them, and what the loss can reach, where that was asked."""

    looker: SnapshotTaker
    look: Taken
    objective: ObjectiveFacts | None = None


def first_pass(program: Program, start: Saved, across: Across | None) -> FirstPass:
    """Make the pass; its gradients are left in place. The model stands as saved in ``start``.

    Raises:
        InitcheckError: the model or its loss does not run.
    """
    if across is not None:
        looker = SnapshotTaker(program, across)
        return FirstPass(looker, looker.take(0))
    recorder, looker = TailRecorder(program), SnapshotTaker(program)
    try:
        look = looker.take(0, witness=recorder)
    except InitcheckError:
        # Some code does not run on a tape.
        start.put_back()
        looker = SnapshotTaker(program)
        return FirstPass(looker, looker.take(0))
    return FirstPass(looker, look, _objective(program, recorder, looker.seen))


def _objective(program: Program, recorder: TailRecorder, seen: Any) -> ObjectiveFacts | None:
    """What the loss can reach; None where it cannot be asked, for the values or their kind."""
    # The tail holds calls of functions, and the loss may have a state of its own, or write to the
    # batch that the pass has ``seen``.
    kept = program.loss_fn, program.forward, *program.model.buffers(), *tensors_of(seen)
    with preserved(*kept):
        try:
            tail = recorder.tail()
            return None if tail is None else facts_in(program, tail)
        except NotPlayed:
            return None
        except (NotImplementedError, RuntimeError):
            # Complex, sparse and nested tensors lack some operations; else the fault is ours.
            if not has_unusual_tensors(program):
                raise
            return None
