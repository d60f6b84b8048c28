"""Run an experiment over ways to start, over sigmas of the first weights, over optimisers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RunRecord
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.experiment import Experiment, OptimizerFactory
from pytest_initcheck.training.normal import check_sigma, draw_normal
from pytest_initcheck.training.prepare import Prepared, prepare
from pytest_initcheck.training.progress import bar
from pytest_initcheck.training.runs import train_all
from pytest_initcheck.training.seeds import seed_list

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
) -> dict[str, RunRecord]:
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
        batched: as in ``run``; all starts and sigmas of one optimiser train together.

    Returns:
        Cell name ("he", "sigma=0.1", "adam", or "he, sigma=0.1, adam") -> what ``run`` returns.

    Raises:
        InitcheckError: nothing to sweep over, a value twice, or what ``run`` raises.
    """
    if sigmas is None and optimizers is None and starts is None:
        raise InitcheckError("sweep: pass sigmas, optimizers, starts, or several of them")
    beginnings = [(n, f, w) for n, f in _named("starts", starts) for w in _sigmas(sigmas)]
    makers = _named("optimizers", optimizers)
    chosen = seed_list(seeds)
    if not isinstance(layers, str):
        layers = list(layers)
    prepared = prepare(experiment, device)
    total = len(beginnings) * len(makers) * len(chosen) * experiment.epochs
    cells: dict[str, RunRecord] = {}
    with isolated(), bar(total, "sweep", progress) as tick:
        for name, maker in makers:
            changed = _changed(prepared, optimizer=maker or experiment.optimizer)
            begun = (_starting(changed, start, sigma, layers) for _, start, sigma in beginnings)
            models = [model for each in begun for model in build_models(each, chosen)]
            records = train_all(changed, models, chosen, tick, batched=batched)
            for (start_name, _, sigma), record in zip(beginnings, records, strict=True):
                cells[_cell(start_name, sigma, name)] = _noted(record, sigma)
    return cells


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
    example = prepared.train.inputs[:1].cpu()

    def initialise(model: nn.Module) -> None:
        for draw in (before, start):
            if draw is not None:
                draw(model)
        if sigma is not None:
            draw_normal(model, sigma, layers, example=example)

    return _changed(prepared, initialise=initialise)
