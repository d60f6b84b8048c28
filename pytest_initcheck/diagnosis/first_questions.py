"""What the first look gives reason to ask before a step is taken: of one process, or of ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.batch_paths import input_scale
from pytest_initcheck.capture.first_nonfinite import first_nonfinite
from pytest_initcheck.capture.inplace_inputs import inplace_inputs
from pytest_initcheck.capture.interleaving import interleaved
from pytest_initcheck.capture.snapshot import SnapshotTaker, Taken
from pytest_initcheck.capture.uninformed_loss import loss_facts
from pytest_initcheck.evidence import LossFacts, Snapshot
from pytest_initcheck.evidence.interleaving import Interleaving


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was answered; each field is explained at `pytest_initcheck.evidence.Observed`."""

    loss: LossFacts
    input_scale: tuple[float, float] | None
    first_nonfinite: int | None = None
    inplace_inputs: tuple[str, ...] = ()
    is_handwritten: bool = False
    interleaved: tuple[Interleaving, ...] = ()


def ask(looker: SnapshotTaker, first: Taken) -> Answers:
    """Ask a model that one process holds. Passes of the model are made."""
    program = looker.program
    return Answers(
        inplace_inputs=inplace_inputs(program, looker.seen),
        loss=loss_facts(program, first),
        input_scale=input_scale(program.batch),
        first_nonfinite=None if _is_finite(first.snapshot) else first_nonfinite(program),
        is_handwritten=first.is_handwritten,
        interleaved=interleaved(program.batch),
    )


def ask_ranks(looker: SnapshotTaker, first: Taken, across: Across) -> Answers:
    """Ask each rank of the loss and the data of its samples, and merge them to those of all.

    Nothing else is asked: what runs on one rank alone would wait for the others. What shards and
    gathers is written by hand, which says nothing of the model's own code.
    """
    loss, scale = loss_facts(looker.program, first), input_scale(looker.program.batch)
    square, largest = (None, None) if scale is None else (scale[0] ** 2, scale[1])
    chance, square, largest = across.mean([loss.uninformed, square], [largest])
    if square is not None and largest is not None:
        scale = square**0.5, largest
    return Answers(loss=replace(loss, uninformed=chance), input_scale=scale)


def _is_finite(look: Snapshot) -> bool:
    """Whether the loss and the outputs of all layers are."""
    return math.isfinite(look.loss) and not any(
        stats.nonfinite for stats in look.output_stats.values()
    )
