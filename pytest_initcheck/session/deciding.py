"""Whether a run that takes its seeds in groups has to take more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_initcheck.records import Bounds, Decision, Look, RunRecord
from pytest_initcheck.sequential import FEWEST, Sequential, ShareStage, Stage, share_stage

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Stored

Question = Callable[[RunRecord], Look]
FAILING: frozenset[Decision] = frozenset({"changed", "fails"})


def are_known(decisions: Iterable[Decision]) -> bool:
    """Whether the answers leave nothing to be learnt: one fails the test, or none is open."""
    given = set(decisions)
    return bool(given & FAILING) or "open" not in given


@dataclass
class Decider:
    """Asks its questions after every group of seeds, and keeps the looks.

    Without a question all seeds are taken. ``stage_at`` gives the stage at which a record is
    compared with its baseline, None where it is not by stages.
    """

    questions: tuple[Question, ...] = ()
    stage_at: Callable[[int], Stage | None] = lambda _: None
    looks: list[Look] = field(default_factory=list)

    def ask(self, record: RunRecord) -> list[Decision]:
        """What each question is answered with; "open" where there is none."""
        found = [question(record) for question in self.questions]
        self.looks += found
        return [look.decision for look in found] or ["open"]

    def __call__(self, record: RunRecord) -> bool:
        """Whether no more seeds are needed."""
        return are_known(self.ask(record))

    def answer(self, question: str) -> Decision | None:
        """What the question was answered with in the end; None where it was never asked."""
        given = [look.decision for look in self.looks if look.question == question]
        return given[-1] if given else None


@dataclass
class Deciders:
    """One for each cell of a sweep, made when it is first asked for."""

    make: Callable[[str], Decider]
    made: dict[str, Decider] = field(default_factory=dict)

    def of(self, cell: str) -> Decider:
        """Who is asked about the cell."""
        if cell not in self.made:
            self.made[cell] = self.make(cell)
        return self.made[cell]

    def __call__(self, cells: Mapping[str, RunRecord]) -> bool:
        """Whether no more seeds are needed for any of the cells."""
        answers = [self.of(cell).ask(record) for cell, record in cells.items()]
        return are_known(decision for answer in answers for decision in answer)


@dataclass(frozen=True)
class ShareClaim:
    """The claim that a ``probability`` of seeds succeeds; ``successes`` counts those that do."""

    successes: Callable[[RunRecord], int]
    probability: float


def share_question(design: Sequential, share: ShareClaim) -> Question:
    """Asks whether enough seeds succeed."""
    bounds = tuple(_bounds(share_stage(design, n, share.probability)) for n in design.looks)

    def ask(record: RunRecord) -> Look:
        count, seeds = share.successes(record), len(record.seeds)
        stage = share_stage(design, seeds, share.probability)
        decision: Decision = "open"
        if count >= stage.holds_at:
            decision = "holds"
        elif count <= stage.fails_at:
            decision = "fails"
        return Look(
            question="share",
            seeds=seeds,
            most=stage.most,
            statistic=count,
            bounds=bounds,
            decision=decision,
        )

    return ask


def _bounds(stage: ShareStage) -> Bounds:
    return Bounds(
        seeds=stage.seeds,
        accepts=stage.holds_at if stage.holds_at <= stage.seeds else None,
        rejects=stage.fails_at if stage.fails_at >= 0 else None,
    )


def baseline_question(stored: Stored, design: Sequential, least: float | None) -> Decider | None:
    """Asks whether a run is as its baseline; None where that has too few seeds to tell."""
    from pytest_initcheck.baseline.compare import LEAST
    from pytest_initcheck.baseline.looks import look

    known = len(stored.record.seeds)
    if known < FEWEST:
        return None

    def stage_at(seeds: int) -> Stage:
        return Stage(design=design, seeds=seeds, stored=known)

    def ask(record: RunRecord) -> Look:
        return look(record, stored, stage_at(len(record.seeds)), LEAST if least is None else least)

    return Decider((ask,), stage_at)
