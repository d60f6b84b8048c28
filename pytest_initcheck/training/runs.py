"""Run an experiment once per seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from pytest_initcheck.capture.device import described
from pytest_initcheck.capture.movement import copies, movement
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.capture.written import body, optimizer_name, rates
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import ModelRecord, RunRecord
from pytest_initcheck.training import batched as batched_loop
from pytest_initcheck.training import loop
from pytest_initcheck.training.build import build_models, rehearse
from pytest_initcheck.training.experiment import Experiment
from pytest_initcheck.training.history import History
from pytest_initcheck.training.layer_snapshots import look_at
from pytest_initcheck.training.pooling import pooled_models
from pytest_initcheck.training.prepare import Prepared, prepare
from pytest_initcheck.training.progress import bar
from pytest_initcheck.training.seeds import seed_list


def run(
    experiment: Experiment,
    seeds: int | Iterable[int] = 8,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    *,
    batched: bool = False,
) -> RunRecord:
    """Train once per seed.

    Every seed fixes the weights, the order of the samples and any noise; the caller's random
    generators are put back.

    Args:
        experiment: what to train.
        seeds: how many (0, 1, …), or which.
        device: "cpu" (where None), "cuda", …, or "auto".
        progress: show a bar or not; None: on a terminal outside CI.
        batched: train all seeds as one program, the same up to rounding: several times faster
            for small models, no gain for large ones. The model must be one that
            ``torch.func.vmap`` can run, without dropout.

    Returns:
        Curves per seed, one value per epoch: "loss" (mean cost over the epoch), "accuracy" (over
        the epoch, while it learns), "validation loss", "validation accuracy"; metrics per seed:
        the final values ("accuracy": of the trained model on all training data), "diverged" (1
        where a cost was not finite) and what ``measure`` returned; the models of all seeds
        before and after, pooled, on the first 256 samples. Accuracies are shares in [0, 1].

    Raises:
        InitcheckError: something in the experiment cannot work; the message says what to pass.
    """
    chosen = seed_list(seeds)
    prepared = prepare(experiment, device)
    with isolated(), bar(len(chosen) * experiment.epochs, "training", progress) as tick:
        models = build_models(prepared, chosen)
        return train_all(prepared, models, chosen, tick, batched=batched)[0]


def train_all(
    prepared: Prepared,
    models: Sequence[nn.Module],
    seeds: tuple[int, ...],
    tick: loop.Tick,
    *,
    batched: bool,
) -> list[RunRecord]:
    """Train groups of ``len(seeds)`` models that differ in their start; one record per group."""
    rehearse(prepared, models[0])
    befores = [look_at(prepared, model, "before") for model in models]
    starts = [copies(model) for model in models]
    measured = [_measure(prepared, model, "before") for model in models]
    engine = batched_loop.train if batched else loop.train
    groups = range(0, len(models), len(seeds))
    histories = engine(prepared, models, seeds * len(groups), tick)
    for model, history, first in zip(models, histories, measured, strict=True):
        history.metrics.update(first)
        history.metrics.update(_measure(prepared, model, "after"))
    afters = [
        look_at(prepared, model, "after", movement(model, start))
        for model, start in zip(models, starts, strict=True)
    ]
    meta = _meta(prepared, models[0])
    return [
        _record(seeds, histories[i:j], befores[i:j], afters[i:j], meta)
        for i, j in ((i, i + len(seeds)) for i in groups)
    ]


def _record(
    seeds: tuple[int, ...],
    histories: Sequence[History],
    befores: Sequence[ModelRecord],
    afters: Sequence[ModelRecord],
    meta: dict[str, str],
) -> RunRecord:
    names = dict.fromkeys(name for history in histories for name in history.metrics)
    missing = float("nan")
    return RunRecord(
        seeds=seeds,
        curves={name: tuple(h.curve(name) for h in histories) for name in histories[0].curves},
        metrics={name: tuple(h.metrics.get(name, missing) for h in histories) for name in names},
        before=pooled_models(befores),
        after=pooled_models(afters),
        meta=meta,
    )


def _measure(prepared: Prepared, model: nn.Module, moment: str) -> dict[str, float]:
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


def _meta(prepared: Prepared, model: nn.Module) -> dict[str, str]:
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
