"""Run an experiment once per seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from pytest_initcheck.backends import parsed
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.records import RunRecord
from pytest_initcheck.sequential import Sequential
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.course import Course, Trainable, trained
from pytest_initcheck.training.elsewhere import Afar, portable
from pytest_initcheck.training.engines import Engine, chosen_engine
from pytest_initcheck.training.experiment import Experiment
from pytest_initcheck.training.prepare import prepare
from pytest_initcheck.training.progress import bar
from pytest_initcheck.training.seeds import planned


def run(
    experiment: Experiment,
    seeds: int | Iterable[int] = 8,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    *,
    batched: bool = False,
    engine: Engine | None = None,
    backend: str | None = None,
) -> RunRecord:
    """Train once per seed.

    Every seed fixes the weights, the order of the samples and any noise; the caller's random
    generators are put back.

    Args:
        experiment: what to train.
        seeds: how many (0, 1, …), or which.
        device: "cpu" (where None), "cuda", …, or "auto".
        progress: show a bar or not; None: on a terminal outside CI.
        batched: the same as ``engine="batched"``.
        engine: how the seeds are trained, the same up to rounding. "plain" (where None): one
            after the other, bit for bit repeatable. "batched": all as one program, several times
            faster for small models, no gain for large ones; the model must be one that
            ``torch.func.vmap`` can run, without dropout. "threads": as many at a time as there
            are cores; no step may draw random numbers. "auto": the fastest of these in a trial
            of a few steps; ``record.engine`` says which and why.
        backend: where the seeds are trained, the same bit for bit: "loky" (processes of this
            machine), "dask" or "dask://host:port", "ray" or "ray://host:port", a task for every
            seed (docs/clusters.md). None or "local": in this process.

    Returns:
        Curves per seed, one value per epoch: "loss" (mean cost over the epoch), "accuracy" (over
        the epoch, while it learns), "validation loss", "validation accuracy"; metrics per seed:
        the final values ("accuracy": of the trained model on all training data), "diverged" (1
        where a cost was not finite) and what ``measure`` returned; the models of all seeds
        before and after, pooled, on the first 256 samples. Accuracies are shares in [0, 1].

    Raises:
        InitcheckError: something in the experiment cannot work; the message says what to pass.
    """
    options: dict[str, Any] = {"batched": batched, "engine": engine, "backend": backend}
    return run_until(None, experiment, seeds, device, progress, **options)


def run_until(
    is_known: Callable[[RunRecord], bool] | None,
    experiment: Experiment,
    seeds: int | Iterable[int] | Sequential = 8,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    *,
    batched: bool = False,
    engine: Engine | None = None,
    backend: str | None = None,
) -> RunRecord:
    """`run`, which of a `Sequential` trains no more seeds once ``is_known`` holds of the record.

    ``before`` is of all seeds, whether they were trained or not.
    """
    how = chosen_engine(engine, batched, backend)
    chosen, looks = planned(seeds, is_known)
    prepared = prepare(experiment, device)
    with isolated(), bar(len(chosen) * experiment.epochs, "training", progress) as tick:
        course: Trainable
        if parsed(backend) is not None:
            course = Afar([portable(prepared)], chosen, tick, backend)
        else:
            course = Course(prepared, build_models(prepared, chosen), chosen, tick, how)
        (record,) = trained(
            [course], looks, lambda records: is_known is not None and is_known(records[0])
        )
    return record
