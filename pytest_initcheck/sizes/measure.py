"""``scaling``: models of several sizes, from several seeds, over a few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.backends.mapping import Tick, mapped
from pytest_initcheck.capture import validate
from pytest_initcheck.capture.program import Forward, LossFunction, Program, moved
from pytest_initcheck.capture.randomness import isolated, seed_all
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs import adapted
from pytest_initcheck.inputs.loaders import first_batch
from pytest_initcheck.inputs.signature import takes
from pytest_initcheck.sizes.course import Measurements, StepTaker
from pytest_initcheck.sizes.result import Scaling, Shape
from pytest_initcheck.training.seeds import seed_list

Factory = Callable[[int], nn.Module]
_MODELS = ("model", "module", "net", "network")


def scaling(
    factory: Factory,
    sizes: Iterable[int],
    batch: Any,
    loss_fn: LossFunction | str | None = None,
    optimizer: Any = None,
    *,
    steps: int = 3,
    seeds: int | Iterable[int] = 3,
    forward: Forward | None = None,
    device: str | torch.device | None = None,
    backend: str | None = None,
) -> Scaling:
    """How activations, their change by the steps, gradients and updates grow with a size.

    For every size and seed a model is built and takes ``steps`` steps on one batch; every layer is
    looked at in the passes that these steps make. A layer is a product of data with a weight,
    however it is written. All random streams are put back.

    Args:
        factory: ``factory(size) -> model``; the size is a width, a depth, a number of heads or
            experts: any whole number. The random streams are seeded before each call.
        sizes: at least two of them, from 1 up, such as (64, 128, 256, 512).
        batch: as `diagnose` takes it, the same for all sizes; or ``batch(size)``, which makes it.
        loss_fn: as for `diagnose`.
        optimizer: as for `diagnose`, but no instance; or ``optimizer(model)``, for rates that
            differ from layer to layer. Default: SGD with lr 1e-2.
        steps: how many steps, from 1 up. Default 3: behind a readout that starts at zero the
            first step moves nothing else.
        seeds: how many, or which. Default 3.
        forward: as for `diagnose`.
        device: where to run. Default: where the factory puts the model.
        backend: where sizes and seeds are measured: "loky", "dask", "dask://host:port", "ray",
            "ray://host:port"; the numbers are the same. Default: this process. See
            docs/clusters.md.

    Returns:
        A `Scaling`: values, exponents with intervals, table, frame, plot.

    Raises:
        InitcheckError: wrong use, bad input, or a model that raises; the message has the size.
    """
    validate.check_steps(steps)
    chosen = _checked_sizes(sizes)
    seed_numbers = seed_list(seeds)
    if not callable(batch):
        batch = first_batch(batch)[0]
    given = _Setup(
        factory=factory,
        batch=batch,
        loss_fn=loss_fn,
        optimizer=optimizer,
        forward=forward,
        device=device,
        steps=steps,
    )
    tasks = [(size, seed) for size in chosen for seed in seed_numbers]
    names = [f"size {size}, seed {seed}" for size, seed in tasks]
    with isolated():
        found = mapped(_measured, given, tasks, backend=backend, names=names)
    return _gathered(chosen, seed_numbers, steps, found.results)


@dataclass(frozen=True, kw_only=True)
class _Setup:
    factory: Factory
    batch: Any
    loss_fn: Any
    optimizer: Any
    forward: Forward | None
    device: Any
    steps: int


@dataclass(frozen=True)
class _Measured:
    """What one model showed, as plain data."""

    values: dict[tuple[str, str, int], float]
    shapes: dict[str, Shape]
    losses: list[float]


def _measured(given: _Setup, task: tuple[int, int], tick: Tick) -> _Measured:
    size, seed = task
    course = _followed(given, size, seed)
    tick(1)
    return _Measured(course.read(), _shapes(course), [float(loss) for loss in course.losses])


def _checked_sizes(sizes: Iterable[int]) -> tuple[int, ...]:
    found = tuple(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str) else ()
    good = all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in found)
    if len(set(found)) < 2 or len(set(found)) < len(found) or not good:
        raise InitcheckError(
            f"sizes is {sizes!r}; pass at least two different whole numbers from 1 up, such as "
            "(64, 128, 256, 512)"
        )
    return tuple(sorted(found))


def _followed(given: _Setup, size: int, seed: int) -> Measurements:
    try:
        return _follow(given, size, seed)
    except InitcheckError as error:
        raise InitcheckError(f"at size {size}, seed {seed}: {error}") from error


def _follow(given: _Setup, size: int, seed: int) -> Measurements:
    seed_all(seed)
    model = _built(given.factory, size)
    form = adapted(
        model,
        given.batch(size) if callable(given.batch) else given.batch,
        given.loss_fn,
        None if _is_of_model(given.optimizer) else given.optimizer,
        given.forward,
    )
    if given.device is not None:
        model.to(given.device)
    home = next(model.parameters()).device
    program = Program(model, moved(form.batch, home), form.loss_fn, form.forward)
    program.materialise()
    optimizer = _optimizer(given.optimizer, form.optimizer, model)
    return StepTaker(program, optimizer).follow(given.steps)


def _built(factory: Factory, size: int) -> nn.Module:
    try:
        model = factory(size)
    except Exception as error:
        text = f"factory({size}) raised {type(error).__name__}: {error}"
        raise InitcheckError(f"{text}; pass a function of the size that returns a model") from error
    validate.check_module(model)
    validate.check_model(model)
    return model.train()


def _optimizer(given: Any, adapted_form: Any, model: nn.Module) -> torch.optim.Optimizer:
    if _is_of_model(given):
        return _of_model(given, model)
    if isinstance(given, torch.optim.Optimizer):
        raise InitcheckError(
            "optimizer is one that holds the weights of one model; pass a class, a function of the "
            "parameters, or a function of the model"
        )
    try:
        return validate.make_optimizer(adapted_form, model)
    except InitcheckError:
        if not callable(given) or isinstance(given, type):
            raise
        # A function that its parameter's name does not tell from one of the parameters.
        return _of_model(given, model)


def _of_model(function: Callable[[nn.Module], Any], model: nn.Module) -> torch.optim.Optimizer:
    return validate.make_optimizer(lambda _: function(model), model)


def _is_of_model(optimizer: Any) -> bool:
    """Whether a function says by the name of its parameter that it takes the model."""
    if isinstance(optimizer, type) or not callable(optimizer):
        return False
    asked = takes(optimizer)
    return asked is not None and bool(asked.names) and asked.names[0] in _MODELS


def _gathered(
    sizes: Sequence[int], seeds: tuple[int, ...], steps: int, found: Sequence[_Measured]
) -> Scaling:
    count = len(seeds)
    rows = [found[start : start + count] for start in range(0, len(found), count)]
    return Scaling(
        sizes=tuple(sizes),
        seeds=seeds,
        steps=steps,
        values=[[one.values for one in row] for row in rows],
        shapes=[row[0].shapes for row in rows],
        losses=[[one.losses for one in row] for row in rows],
    )


def _shapes(course: Measurements) -> dict[str, Shape]:
    return {
        course.names[key]: Shape(
            fan_in=layer.at_start.fan_in,
            fan_out=layer.at_start.fan_out,
            rows=layer.at_start.rows_in_all,
            parameter=layer.at_start.parameter,
        )
        for key, layer in course.layers.items()
    }
