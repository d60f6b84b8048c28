"""Models of several seeds on their way: looked at, trained in groups of seeds, recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import nn

from pytest_initcheck.capture.device import described
from pytest_initcheck.capture.movement import copies, movement
from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.capture.written import body, optimizer_name, rates
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Confusion, ModelRecord, RunRecord
from pytest_initcheck.training.build import rehearse
from pytest_initcheck.training.confusion import confusion, predicted
from pytest_initcheck.training.engines import Engine, train
from pytest_initcheck.training.history import History
from pytest_initcheck.training.layer_snapshots import look_at
from pytest_initcheck.training.loop import Tick
from pytest_initcheck.training.pooling import pooled_models
from pytest_initcheck.training.prepare import Prepared


class Course:
    """Groups of ``len(seeds)`` models that differ in their start, over the same seeds.

    All are looked at before the first is trained, which costs little: what a baseline holds of
    untrained models can be compared in full after any number of seeds.
    """

    def __init__(
        self,
        prepared: Prepared,
        models: Sequence[nn.Module],
        seeds: tuple[int, ...],
        tick: Tick,
        engine: Engine,
    ) -> None:
        self.prepared, self.models, self.seeds, self.tick = prepared, models, seeds, tick
        self.engine, self.told = engine, ""
        rehearse(prepared, models[0])
        self.befores = [self._look(i, "before") for i in range(len(models))]
        self.starts = [copies(model) for model in models]
        self.measured = [self._measure(i, "before") for i in range(len(models))]
        self.histories: dict[int, History] = {}
        self.afters: dict[int, ModelRecord] = {}
        self.predictions: dict[int, torch.Tensor | None] = {}
        self.trained = 0

    def train(self, count: int) -> None:
        """Train all models of the next seeds, until there are ``count`` of them."""
        chosen = [i for group in self._groups(self.trained, count) for i in group]
        models = [self.models[i] for i in chosen]
        seeds = [self._seed(i) for i in chosen]
        histories, self.told = train(self.engine, self.prepared, models, seeds, self.tick)
        for i, history in zip(chosen, histories, strict=True):
            history.metrics.update(self.measured[i])
            history.metrics.update(self._measure(i, "after"))
            self.histories[i] = history
        for i in chosen:
            self.afters[i] = self._look(i, "after", movement(self.models[i], self.starts[i]))
            self.predictions[i] = self._predicted(i)
        self.trained = count

    def records(self) -> list[RunRecord]:
        """One record per group: of the seeds that are trained, ``before`` of all."""
        meta = settings_of(self.prepared, self.models[0])
        return [
            record_of(
                seeds=self.seeds[: self.trained],
                histories=[self.histories[i] for i in group],
                befores=self.befores[group.start : group.start + len(self.seeds)],
                afters=[self.afters[i] for i in group],
                meta=meta,
                engine=self.told,
                confused=confusion(self.prepared, [self.predictions[i] for i in group]),
            )
            for group in self._groups(0, self.trained)
        ]

    def _seed(self, place: int) -> int:
        return self.seeds[place % len(self.seeds)]

    def _look(
        self, place: int, moment: str, moved: Mapping[str, float] | None = None
    ) -> ModelRecord:
        # What is drawn in a look follows from its seed alone, whatever was trained before.
        seed_all(self._seed(place))
        return look_at(self.prepared, self.models[place], moment, moved)

    def _measure(self, place: int, moment: str) -> dict[str, float]:
        seed_all(self._seed(place))
        return _measured(self.prepared, self.models[place], moment)

    def _predicted(self, place: int) -> torch.Tensor | None:
        seed_all(self._seed(place))
        return predicted(self.prepared, self.models[place])

    def _groups(self, first: int, last: int) -> list[range]:
        """The places of the models of some seeds, group by group."""
        starts = range(0, len(self.models), len(self.seeds))
        return [range(start + first, start + last) for start in starts]


class Trainable(Protocol):
    """What trains groups of models over the same seeds: `Course`, or `Afar` on another engine."""

    def train(self, count: int) -> None:
        """Train all models of the next seeds, until there are ``count`` of them."""
        ...

    def records(self) -> list[RunRecord]:
        """One record per group."""
        ...


def trained(
    courses: Sequence[Trainable],
    looks: Sequence[int],
    are_known: Callable[[Sequence[RunRecord]], bool],
) -> list[RunRecord]:
    """Train the same seeds in all courses, until the records leave nothing to be known."""
    records: list[RunRecord] = []
    for count in looks:
        for course in courses:
            course.train(count)
        records = [record for course in courses for record in course.records()]
        if are_known(records):
            break
    return records


def record_of(
    *,
    seeds: tuple[int, ...],
    histories: Sequence[History],
    befores: Sequence[ModelRecord],
    afters: Sequence[ModelRecord],
    meta: dict[str, str],
    engine: str,
    confused: Confusion | None,
) -> RunRecord:
    """The record of these seeds; ``befores`` may be of more."""
    names = dict.fromkeys(name for history in histories for name in history.metrics)
    missing = float("nan")
    return RunRecord(
        seeds=seeds,
        curves={name: tuple(h.curve(name) for h in histories) for name in histories[0].curves},
        metrics={name: tuple(h.metrics.get(name, missing) for h in histories) for name in names},
        before=pooled_models(befores),
        after=pooled_models(afters),
        meta=meta,
        engine=engine,
        confusion=confused,
    )


def _measured(prepared: Prepared, model: nn.Module, moment: str) -> dict[str, float]:
    measure = prepared.experiment.measure
    if measure is None:
        return {}
    values = measure(model, moment)
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise InitcheckError(f"measure: must return a mapping of names to numbers, not {kind}")
    try:
        return {f"{name} {moment}": _number(value) for name, value in values.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise InitcheckError(f"measure: must return numbers: {error}") from None


def _number(value: object) -> float:
    return float(value.detach() if isinstance(value, torch.Tensor) else value)  # type: ignore[arg-type]


def settings_of(prepared: Prepared, model: nn.Module) -> dict[str, str]:
    """What was trained and how, in words."""
    experiment = prepared.experiment
    optimizer = experiment.optimizer(list(model.parameters()))
    return {
        "model": type(model).__name__,
        "parameters": str(sum(p.numel() for p in model.parameters())),
        "samples": str(len(prepared.train)),
        "loss": prepared.loss_name,
        **({"loss calls": text} if (text := body(experiment.loss)) else {}),
        "optimizer": f"{optimizer_name(optimizer)}, lr {rates(optimizer)}",
        "epochs": str(experiment.epochs),
        "batch size": str(experiment.batch_size),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        **described(prepared.device),
    }
