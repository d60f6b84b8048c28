"""Run an experiment over ways to start, over sigmas of the first weights, over optimisers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.backends import parsed
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RunRecord
from pytest_initcheck.sequential import Sequential
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.course import Course, Trainable, trained
from pytest_initcheck.training.elsewhere import Afar, portable
from pytest_initcheck.training.engines import Engine, chosen_engine
from pytest_initcheck.training.experiment import Experiment, OptimizerFactory
from pytest_initcheck.training.loop import Tick
from pytest_initcheck.training.normal import check_sigma, draw_normal
from pytest_initcheck.training.prepare import Prepared, prepare
from pytest_initcheck.training.progress import bar
from pytest_initcheck.training.seeds import planned
from pytest_initcheck.training.sweep_result import Sweep

Start = Callable[[nn.Module], Any]


def sweep(
    experiment: Experiment,
    sigmas: Iterable[float] | None = None,
    optimizers: Mapping[str, OptimizerFactory] | None = None,
    seeds: int | Iterable[int] = 8,
    layers: str | Iterable[str] = "first",
    device: str | torch.device | None = None,
    progress: bool | None = None,
    *,
    starts: Mapping[str, Start] | None = None,
    batched: bool = False,
    engine: Engine | None = None,
    backend: str | None = None,
) -> Sweep:
    """Run the experiment once per cell: every start, sigma and optimiser, over the same seeds.

    Args:
        experiment: what to train.
        sigmas: standard deviations; weights and biases of ``layers`` are drawn from
            N(0, sigma**2) after the experiment's own ``initialise`` and the start. None: left as
            they are.
        optimizers: name -> ``optimizer(params)``. None: the experiment's.
        seeds: how many (0, 1, …), or which; the same for every cell.
        layers: "first" (to run), "all" (linear and convolutional), or names of modules.
        device: as in ``run``.
        progress: as in ``run``.
        starts: name -> function that draws a model's weights in place. None: none.
        batched: as in ``run``.
        engine: as in ``run``; all starts and sigmas of one optimiser train together.
        backend: as in ``run``; a task for every seed of every cell.

    Returns:
        Cell name ("he", "sigma=0.1", "adam", or "he, sigma=0.1, adam") -> what ``run`` returns.

    Raises:
        InitcheckError: nothing to sweep over, a value twice, or what ``run`` raises.
    """
    return sweep_until(
        None,
        experiment,
        sigmas=sigmas,
        optimizers=optimizers,
        seeds=seeds,
        layers=layers,
        device=device,
        progress=progress,
        starts=starts,
        batched=batched,
        engine=engine,
        backend=backend,
    )


def sweep_until(
    are_known: Callable[[dict[str, RunRecord]], bool] | None,
    experiment: Experiment,
    sigmas: Iterable[float] | None = None,
    optimizers: Mapping[str, OptimizerFactory] | None = None,
    seeds: int | Iterable[int] | Sequential = 8,
    layers: str | Iterable[str] = "first",
    device: str | torch.device | None = None,
    progress: bool | None = None,
    *,
    starts: Mapping[str, Start] | None = None,
    batched: bool = False,
    engine: Engine | None = None,
    backend: str | None = None,
) -> Sweep:
    """`sweep`, which of a `Sequential` trains no more seeds once ``are_known`` holds of the cells.

    The question is asked of all cells together, so that they keep the same seeds.
    """
    if sigmas is None and optimizers is None and starts is None:
        raise InitcheckError("sweep: pass sigmas, optimizers, starts, or several of them")
    beginnings = [(n, f, w) for n, f in _named("starts", starts) for w in _sigmas(sigmas)]
    makers = _named("optimizers", optimizers)
    chosen, looks = planned(seeds, are_known)
    prepared = prepare(experiment, device)
    is_afar = parsed(backend) is not None
    grid = _Grid(
        prepared=portable(prepared) if is_afar else prepared,
        beginnings=beginnings,
        makers=makers,
        seeds=chosen,
        layers=layers if isinstance(layers, str) else list(layers),
        engine=chosen_engine(engine, batched, backend),
    )
    total = len(grid.cells) * len(chosen) * experiment.epochs
    with isolated(), bar(total, "sweep", progress) as tick:
        courses = iter([grid.afar(tick, backend)]) if is_afar else grid.courses(tick)
        return Sweep(grid.named(_records(grid, courses, looks, are_known)))


def _records(
    grid: _Grid,
    courses: Iterator[Trainable],
    looks: Sequence[int],
    are_known: Callable[[dict[str, RunRecord]], bool] | None,
) -> list[RunRecord]:
    if are_known is not None:
        return trained(list(courses), looks, lambda records: are_known(grid.named(records)))
    # One optimiser after the other, so that the models of one are held at a time.
    alone = (trained([course], looks, lambda _: True) for course in courses)
    return [record for records in alone for record in records]


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """The cells of a sweep: every start with every sigma, for one optimiser after the other."""

    prepared: Prepared
    beginnings: list[tuple[str, Start | None, float | None]]
    makers: list[tuple[str, OptimizerFactory | None]]
    seeds: tuple[int, ...]
    layers: str | list[str]
    engine: Engine

    @property
    def cells(self) -> list[tuple[str, float | None]]:
        """Their names and sigmas."""
        return [
            (_cell(start, sigma, optimizer), sigma)
            for optimizer, _ in self.makers
            for start, _, sigma in self.beginnings
        ]

    def courses(self, tick: Tick) -> Iterator[Trainable]:
        """The models of every optimiser, ready to be trained."""
        for changed in self._by_optimizer():
            begun = self._begun(changed)
            models = [model for each in begun for model in build_models(each, self.seeds)]
            yield Course(changed, models, self.seeds, tick, self.engine)

    def afar(self, tick: Tick, backend: str | None) -> Trainable:
        """All cells, ready to be trained on another engine."""
        cells = [each for changed in self._by_optimizer() for each in self._begun(changed)]
        return Afar(cells, self.seeds, tick, backend)

    def _by_optimizer(self) -> Iterator[Prepared]:
        own = self.prepared.experiment.optimizer
        return (_changed(self.prepared, optimizer=maker or own) for _, maker in self.makers)

    def _begun(self, changed: Prepared) -> Iterator[Prepared]:
        return (_starting(changed, f, sigma, self.layers) for _, f, sigma in self.beginnings)

    def named(self, records: Sequence[RunRecord]) -> dict[str, RunRecord]:
        """The records of all cells by their names."""
        found = zip(self.cells, records, strict=True)
        return {cell: _noted(record, sigma) for (cell, sigma), record in found}


def _cell(start: str, sigma: float | None, optimizer: str) -> str:
    width = "" if sigma is None else f"sigma={sigma:g}"
    return ", ".join(filter(None, (start, width, optimizer)))


def _noted(record: RunRecord, sigma: float | None) -> RunRecord:
    if sigma is None:
        return record
    return dataclasses.replace(record, meta={**record.meta, "sigma": f"{sigma:g}"})


def _changed(prepared: Prepared, **fields: Any) -> Prepared:
    experiment = dataclasses.replace(prepared.experiment, **fields)
    return dataclasses.replace(prepared, experiment=experiment)


def _sigmas(sigmas: Iterable[float] | None) -> list[float | None]:
    if sigmas is None:
        return [None]
    if isinstance(sigmas, (int, float, str)) or not isinstance(sigmas, Iterable):
        raise InitcheckError(f"sigmas: pass several standard deviations, not {sigmas!r}")
    values = [check_sigma(sigma) for sigma in sigmas]
    if not values or len(set(values)) < len(values):
        raise InitcheckError(f"sigmas: pass at least one, and each once, not {values}")
    return list(values)


def _named(what: str, functions: Any) -> list[tuple[str, Any]]:
    if functions is None:
        return [("", None)]
    if not isinstance(functions, Mapping) or not functions:
        raise InitcheckError(f"{what}: pass names and functions, such as {{'name': function}}")
    for name, function in functions.items():
        if not callable(function):
            raise InitcheckError(f"{what}: {name!r} is {function!r}; pass a function")
    return [(str(name), function) for name, function in functions.items()]


def _starting(
    prepared: Prepared, start: Start | None, sigma: float | None, layers: str | list[str]
) -> Prepared:
    before = prepared.experiment.initialise
    example = prepared.train.inputs[:1].cpu().clone()

    def initialise(model: nn.Module) -> None:
        for draw in (before, start):
            if draw is not None:
                draw(model)
        if sigma is not None:
            draw_normal(model, sigma, layers, example=example)

    return _changed(prepared, initialise=initialise)
