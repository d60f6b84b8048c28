"""Seeds on another engine: a task builds, looks at, trains and records the model of one seed.

Only the experiment and what was measured travel, never a model. A task is `Course` with one seed,
so that its numbers are those of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor, nn

from pytest_initcheck.backends.mapping import mapped
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import ModelRecord, RunRecord
from pytest_initcheck.training.build import build_models, rehearse
from pytest_initcheck.training.carried import bits, held
from pytest_initcheck.training.confusion import confusion
from pytest_initcheck.training.course import Course, record_of, settings_of
from pytest_initcheck.training.history import History
from pytest_initcheck.training.loop import Tick
from pytest_initcheck.training.prepare import LabelledData, Prepared
from pytest_initcheck.training.workers import sharing, tensors


class Task(NamedTuple):
    """A seed of a cell; where it is not to be trained, its model is only looked at."""

    cell: int
    seed: int
    trains: bool


@dataclass(frozen=True)
class Seen:
    """What a task found out."""

    before: ModelRecord
    history: History | None = None
    after: ModelRecord | None = None
    predicted: Tensor | None = None


def one_seed(cells: Sequence[Prepared], task: Task, tick: Tick) -> Seen:
    """Build the model of a seed, look at it, and train it.

    Raises:
        InitcheckError: what the training raises, or that a step changes the loss itself.
    """
    prepared = cells[task.cell]
    before = _state(prepared.loss)
    course = Course(prepared, build_models(prepared, [task.seed]), (task.seed,), tick, "plain")
    if not task.trains:
        return Seen(course.befores[0])
    course.train(1)
    if _state(prepared.loss) != before:
        raise InitcheckError(
            "backend: a step changes what the loss holds, which then depends on the seeds before; "
            "leave out backend="
        )
    return Seen(course.befores[0], course.histories[0], course.afters[0], course.predictions[0])


def _state(loss: object) -> dict[str, object]:
    return held(loss) if isinstance(loss, nn.Module) else {}


class Afar:
    """Cells that differ in how their models start or are trained, over the same seeds, elsewhere.

    Raises:
        InitcheckError: the models cannot be built apart from each other.
    """

    def __init__(
        self, cells: Sequence[Prepared], seeds: tuple[int, ...], tick: Tick, backend: str | None
    ) -> None:
        self.seeds, self.tick, self.backend = seeds, tick, backend
        self.cells = tuple(cells)
        self.model = _checked(cells[0], seeds)
        self.seen: dict[tuple[int, int], Seen] = {}
        self.trained, self.told = 0, ""

    def train(self, count: int) -> None:
        """Train all models of the next seeds, until there are ``count`` of them."""
        tasks = [
            Task(cell, seed, place < count)
            for cell in range(len(self.cells))
            for place, seed in enumerate(self.seeds)
            if self.trained <= place < count or not self.trained
        ]
        names = [f"seed {task.seed}" for task in tasks]
        found = mapped(
            one_seed, self.cells, tasks, backend=self.backend, tick=self.tick, names=names
        )
        for task, seen in zip(tasks, found.results, strict=True):
            known = self.seen.get((task.cell, task.seed))
            self.seen[task.cell, task.seed] = replace(seen, before=known.before) if known else seen
        self.trained, self.told = count, found.told

    def records(self) -> list[RunRecord]:
        """One record per cell: of the seeds that are trained, ``before`` of all."""
        return [self._record(cell) for cell in range(len(self.cells))]

    def _record(self, cell: int) -> RunRecord:
        seen = [self.seen[cell, seed] for seed in self.seeds]
        done = seen[: self.trained]
        return record_of(
            seeds=self.seeds[: self.trained],
            histories=[each.history for each in done if each.history],
            befores=[each.before for each in seen],
            afters=[each.after for each in done if each.after],
            meta=settings_of(self.cells[cell], self.model),
            engine=self.told,
            confused=confusion(self.cells[cell], [each.predicted for each in done]),
        )


def _checked(prepared: Prepared, seeds: Sequence[int]) -> nn.Module:
    """The model of the first seed, which another one before it leaves as it is."""
    with isolated():
        models = build_models(prepared, seeds[:2])
        if sharing(models):
            raise InitcheckError(
                "backend: the models share modules or tensors; build every part in the factory, or "
                "leave out backend="
            )
        (again,) = build_models(prepared, seeds[:1])
        if _values(models[0]) != _values(again):
            raise InitcheckError(
                "backend: the factory gives other weights for the same seed when it is called "
                "again; draw from the global streams, or seed what it draws from in it"
            )
        rehearse(prepared, models[0])
    return models[0]


def _values(model: nn.Module) -> list[bytes]:
    return [bits(tensor.cpu()) for tensor in tensors(model)]


def portable(prepared: Prepared) -> Prepared:
    """With its data once, and of these no row that is not used."""
    return replace(
        prepared,
        experiment=replace(prepared.experiment, data=None, validation=None),
        train=_compact(prepared.train),
        validation=prepared.validation and _compact(prepared.validation),
    )


def _compact(pair: LabelledData) -> LabelledData:
    return LabelledData(_own(pair.inputs), _own(pair.targets))


def _own(tensor: Tensor) -> Tensor:
    # A part of a larger tensor would be sent with all of it.
    is_whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return tensor if is_whole else tensor.contiguous().clone()
