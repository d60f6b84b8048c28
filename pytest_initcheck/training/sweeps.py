"""Run an experiment over standard deviations of the initial weights, and over optimisers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RunRecord
from pytest_initcheck.training.build import build
from pytest_initcheck.training.experiment import Experiment, OptimizerFactory
from pytest_initcheck.training.normal import check_sigma, draw_normal
from pytest_initcheck.training.prepare import Prepared, prepare
from pytest_initcheck.training.progress import bar
from pytest_initcheck.training.runs import train_all
from pytest_initcheck.training.seeds import isolated, seed_list


def sweep(
    experiment: Experiment,
    sigmas: Iterable[float] | None = None,
    optimizers: Mapping[str, OptimizerFactory] | None = None,
    seeds: int | Iterable[int] = 8,
    layers: str | Iterable[str] = "first",
    device: str | torch.device | None = None,
    progress: bool | None = None,
    *,
    batched: bool = False,
) -> dict[str, RunRecord]:
    """Run the experiment once per cell: every sigma with every optimiser, over the same seeds.

    Args:
        experiment: what to train.
        sigmas: standard deviations; weights and biases of ``layers`` are drawn from
            N(0, sigma**2) after the experiment's own ``initialise``. None: left as they are.
        optimizers: name -> ``optimizer(params)``. None: the experiment's.
        seeds: how many (0, 1, …), or which; the same for every cell.
        layers: "first" (to run), "all" (linear and convolutional), or names of modules.
        device: as in ``run``.
        progress: as in ``run``.
        batched: as in ``run``; all sigmas of one optimiser train together.

    Returns:
        Cell name ("sigma=0.1", "adam", or "sigma=0.1, adam") -> what ``run`` returns.

    Raises:
        InitcheckError: nothing to sweep over, a value twice, or what ``run`` raises.
    """
    widths = _sigmas(sigmas)
    makers = _optimizers(optimizers)
    if sigmas is None and optimizers is None:
        raise InitcheckError("sweep: pass sigmas, optimizers or both")
    chosen = seed_list(seeds)
    if not isinstance(layers, str):
        layers = list(layers)
    prepared = prepare(experiment, device)
    total = len(widths) * max(len(makers), 1) * len(chosen) * experiment.epochs
    cells: dict[str, RunRecord] = {}
    with isolated(), bar(total, "sweep", progress) as tick:
        for name, maker in makers.items() or [("", experiment.optimizer)]:
            changed = dataclasses.replace(
                prepared, experiment=dataclasses.replace(experiment, optimizer=maker)
            )
            models = [m for w in widths for m in build(_drawing(changed, w, layers), chosen)]
            records = train_all(changed, models, chosen, tick, batched=batched)
            cells.update(
                (_cell(width, name), _noted(record, width))
                for width, record in zip(widths, records, strict=True)
            )
    return cells


def _cell(sigma: float | None, name: str) -> str:
    parts = [] if sigma is None else [f"sigma={sigma:g}"]
    return ", ".join([*parts, name] if name else parts)


def _noted(record: RunRecord, sigma: float | None) -> RunRecord:
    if sigma is None:
        return record
    return dataclasses.replace(record, meta={**record.meta, "sigma": f"{sigma:g}"})


def _sigmas(sigmas: Iterable[float] | None) -> list[float | None]:
    if sigmas is None:
        return [None]
    if isinstance(sigmas, (int, float, str)) or not isinstance(sigmas, Iterable):
        raise InitcheckError(f"sigmas: pass several standard deviations, not {sigmas!r}")
    values = [check_sigma(sigma) for sigma in sigmas]
    if not values or len(set(values)) < len(values):
        raise InitcheckError(f"sigmas: pass at least one, and each once, not {values}")
    return list(values)


def _optimizers(optimizers: Mapping[str, OptimizerFactory] | None) -> dict[str, OptimizerFactory]:
    if optimizers is None:
        return {}
    if not isinstance(optimizers, Mapping) or not optimizers:
        raise InitcheckError(
            "optimizers: pass names and functions, such as "
            "{'sgd': lambda params: torch.optim.SGD(params, lr=0.1)}"
        )
    return {str(name): maker for name, maker in optimizers.items()}


def _drawing(prepared: Prepared, sigma: float | None, layers: str | list[str]) -> Prepared:
    if sigma is None:
        return prepared
    before = prepared.experiment.initialise
    example = prepared.train.inputs[:1].cpu()

    def initialise(model: nn.Module) -> Any:
        if before is not None:
            before(model)
        draw_normal(model, sigma, layers, example=example)

    experiment = dataclasses.replace(prepared.experiment, initialise=initialise)
    return dataclasses.replace(prepared, experiment=experiment)
