"""Takes the looks and the steps of a diagnosis, and lays out what they showed."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.batch_paths import batch_paths, input_scale
from pytest_initcheck.capture.choices import choices
from pytest_initcheck.capture.device import described
from pytest_initcheck.capture.first_nonfinite import first_nonfinite
from pytest_initcheck.capture.inplace_inputs import inplace_inputs
from pytest_initcheck.capture.layer_records import model_record
from pytest_initcheck.capture.learning_rate import fading, rate_of, rates_of
from pytest_initcheck.capture.movement import copies, movement
from pytest_initcheck.capture.optimizer_facts import (
    broken_layers,
    direction,
    foreign,
    optimizer_facts,
)
from pytest_initcheck.capture.optimizer_step import needs_closure, take_step
from pytest_initcheck.capture.program import Optimizer, Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.snapshot import SnapshotTaker, Taken
from pytest_initcheck.capture.stream_records import stream_records
from pytest_initcheck.capture.uninformed_loss import loss_facts
from pytest_initcheck.capture.written import optimizer_name, rates
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import LossFacts, Observed, Snapshot
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.evidence.streams import residual_streams
from pytest_initcheck.ranks.dtensors import class_of
from pytest_initcheck.records import ModelRecord

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def observe(
    program: Program,
    optimizer: Optimizer | None,
    steps: int,
    *,
    objective: ObjectiveFacts | None = None,
    oddities: Mapping[str, tuple[str, ...]] = _NOTHING,
    is_frozen: bool = False,
    across: Across | None = None,
) -> Observed:
    """Take the looks and the steps; the caller has saved the model's state.

    ``oddities`` are those of the modules before the first pass; ``is_frozen`` says that nothing
    was trainable before the diagnosis. With ``across`` each rank has a part of what is measured.

    Raises:
        InitcheckError: the optimiser cannot be built, or evaluates a loss of parts itself.
    """
    model, looker = program.model, SnapshotTaker(program, across)
    first = looker.take(0)
    # What runs on one rank alone would wait for the others.
    rewritten = inplace_inputs(program, looker.seen) if across is None else ()
    facts, scale = loss_facts(program, first), input_scale(program.batch)
    if across is not None:
        facts, scale = _merged(facts, scale, across)
    is_odd = across is None and not _is_whole(first.snapshot)
    born = first_nonfinite(program) if is_odd else None
    made, is_empty = _optimizer(optimizer, model)
    if across is not None and needs_closure(made):
        raise InitcheckError(
            f"{type(made).__name__} evaluates the loss itself, which cannot be measured in parts; "
            "pass unshard=True, or another optimiser"
        )
    starts = copies(model)
    held = replace(optimizer_facts(model, made, is_empty=is_empty), is_frozen=is_frozen)
    with preserved(*foreign(model, made)):
        looks, shown = _stepped(looker, first, made, steps, starts)
    streams = residual_streams(first.nodes, _matrices(first))
    chosen = choices(program, first)
    meta = _meta(program, made, steps, chosen.meta())
    record = functools.partial(_record, looker, first, meta)
    return Observed(
        nodes=first.nodes,
        parameters=first.parameters,
        snapshots=tuple(looked.snapshot for looked in looks),
        loss=replace(facts, left_out=chosen.left_out),
        before=replace(
            record(first, "start", {}), streams=stream_records(streams, first.snapshot.sums)
        ),
        after=record(looks[-1], f"after {steps} steps", movement(model, starts)),
        order=first.order,
        rates=_rates(model, made),
        is_default_optimizer=optimizer is None,
        output_nodes=first.output_nodes,
        backward_nodes=first.backward_nodes,
        reshapes=first.reshapes,
        streams=streams,
        anomalies={**oddities, **_oddities(first, made)},
        objective_nodes=_goals(program, first, objective),
        objective=objective,
        first_nonfinite=born,
        batch_paths=batch_paths(
            program.batch, {**first.snapshot.layer_inputs, "targets": first.snapshot.targets}
        ),
        input_scale=scale,
        momentum=float(made.param_groups[0].get("momentum") or 0.0),
        optimizer=replace(held, **shown),
        inplace_inputs=rewritten,
        # What shards and gathers is written by hand, too.
        is_handwritten=first.is_handwritten and across is None,
    )


def _matrices(first: Taken) -> set[str]:
    return {name for name, known in first.parameters.items() if len(known.shape) > 1}


Scale = tuple[float, float] | None


def _merged(facts: LossFacts, scale: Scale, across: Across) -> tuple[LossFacts, Scale]:
    """What each rank knows of the loss and the data of its samples, for those of all."""
    square, largest = (None, None) if scale is None else (scale[0] ** 2, scale[1])
    chance, square, largest = across.mean([facts.uninformed, square], [largest])
    if square is not None and largest is not None:
        scale = square**0.5, largest
    return replace(facts, uninformed=chance), scale


def _record(
    looker: SnapshotTaker,
    first: Taken,
    meta: dict[str, str],
    looked: Taken,
    moment: str,
    movement: dict[str, float],
) -> ModelRecord:
    return model_record(
        looked.snapshot,
        first.parameters,
        first.nodes,
        moment=moment,
        meta=meta,
        movement=movement,
        not_observed=looker.not_observed,
    )


def _stepped(
    looker: SnapshotTaker,
    first: Taken,
    optimizer: torch.optim.Optimizer,
    steps: int,
    starts: dict[str, Tensor],
) -> tuple[list[Taken], dict[str, Any]]:
    """Take the steps, with a look after each; and what they show of the optimiser."""
    looks, model, shown = [first], looker.model, dict[str, Any]()
    pace = [rates_of(optimizer)]
    for step in range(1, steps + 1):
        is_sound = not shown.get("broken") and _is_sound(looks[-1].snapshot)
        take_step(optimizer, looker.program)
        pace.append(rates_of(optimizer))
        if step == 1:
            shown["direction"] = direction(model, starts)
        if is_sound and (broken := broken_layers(model)):
            shown |= {"broken": broken, "broken_at": step}
        looks.append(looker.take(step, full=step == steps))
    return looks, {**shown, "fading": fading(pace)}


def _goals(program: Program, first: Taken, objective: ObjectiveFacts | None) -> frozenset[int]:
    """The nodes that made what is minimised: the outputs that the loss follows back."""
    if program.forward is not None or objective is None or not objective.outputs:
        return first.objective_nodes
    return frozenset().union(*(first.makers[place] for place in objective.outputs))


def _optimizer(optimizer: Optimizer | None, model: nn.Module) -> tuple[torch.optim.Optimizer, bool]:
    """The optimiser, and whether it refused to be built for want of a parameter."""
    try:
        return validate.make_optimizer(optimizer, model), False
    except InitcheckError as error:
        if "empty parameter list" not in str(error):
            raise
        return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0), True


def _oddities(first: Taken, optimizer: torch.optim.Optimizer) -> dict[str, tuple[str, ...]]:
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    unregistered = dict.fromkeys(
        place for place, tensor in first.unregistered if id(tensor) not in held
    )
    found = {"stray": tuple(unregistered), "vanished": first.vanished}
    return {kind: layers for kind, layers in found.items() if layers}


def _is_whole(look: Snapshot) -> bool:
    """Whether the loss and the outputs of all layers are finite."""
    return math.isfinite(look.loss) and not any(
        stats.nonfinite for stats in look.output_stats.values()
    )


def _is_sound(look: Snapshot) -> bool:
    """Whether the loss and every gradient of a look are finite."""
    gradients = (p.gradient for p in look.parameters.values())
    return math.isfinite(look.loss) and not any(g.nonfinite for g in gradients if g is not None)


def _rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: rate_of(group)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in names
    }


def _meta(
    program: Program, optimizer: torch.optim.Optimizer, steps: int, taken: dict[str, str]
) -> dict[str, str]:
    parameter = next(program.model.parameters())
    return {
        "model": class_of(program.model).__name__,
        "loss": program.loss_name,
        **program.loss_body,
        **taken,
        "optimizer": optimizer_name(optimizer),
        "lr": rates(optimizer),
        "steps": str(steps),
        **described(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
    }
