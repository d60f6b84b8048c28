"""Takes the looks and the steps of a diagnosis, and lays out what they showed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.batch_paths import batch_paths
from pytest_initcheck.capture.choices import choices
from pytest_initcheck.capture.device import described
from pytest_initcheck.capture.layer_records import model_record
from pytest_initcheck.capture.learning_rate import fading, rate_of, rates_of
from pytest_initcheck.capture.lost_steps import lost_share
from pytest_initcheck.capture.movement import copies, movement
from pytest_initcheck.capture.optimizer_facts import (
    broken_layers,
    direction,
    foreign,
    optimizer_facts,
)
from pytest_initcheck.capture.optimizer_step import needs_closure, take_step
from pytest_initcheck.capture.program import Optimizer, Program
from pytest_initcheck.capture.restore import Saved, preserved
from pytest_initcheck.capture.snapshot import SnapshotTaker, Taken
from pytest_initcheck.capture.stream_records import stream_records
from pytest_initcheck.capture.written import optimizer_name, rates
from pytest_initcheck.diagnosis.first_pass import first_pass
from pytest_initcheck.diagnosis.first_questions import Answers, ask, ask_ranks
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Observed, OptimizerFacts, Snapshot
from pytest_initcheck.evidence.batch_place import BatchPlace
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.evidence.streams import Stream, residual_streams
from pytest_initcheck.ranks.dtensors import class_of
from pytest_initcheck.records import ModelRecord

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def observe(
    program: Program,
    optimizer: Optimizer | None,
    steps: int,
    start: Saved,
    *,
    anomalies: Mapping[str, tuple[str, ...]] = _NOTHING,
    is_frozen: bool = False,
    across: Across | None = None,
) -> Observed:
    """Take the looks and the steps; the caller has saved the model's state, as ``start``.

    ``anomalies`` are those of the modules before the first pass; ``is_frozen`` says that nothing
    was trainable before the diagnosis. With ``across`` each rank has a part of what is measured.

    Raises:
        InitcheckError: the optimiser cannot be built, or evaluates a loss of parts itself.
    """
    begun = first_pass(program, start, across)
    looker, first = begun.looker, begun.look
    answers = ask(looker, first) if across is None else ask_ranks(looker, first, across)
    made, is_empty = _optimizer(optimizer, program.model)
    if across is not None:
        _refuse_closure(made)
    facts = replace(optimizer_facts(program.model, made, is_empty=is_empty), is_frozen=is_frozen)
    course = _follow(looker, first, made, facts, steps, is_own=optimizer is not None)
    found = {**anomalies, **_anomalies(first, made)}
    return _laid_out(course, answers, begun.objective, found, is_default=optimizer is None)


@dataclass(frozen=True, kw_only=True)
class _Course:
    """The looks, and the optimiser that took the steps between them, with what they showed of it.

    ``moved`` is how far each parameter is from its start at the last look.
    """

    looker: SnapshotTaker
    looks: tuple[Taken, ...]
    optimizer: torch.optim.Optimizer
    facts: OptimizerFacts
    moved: dict[str, float]

    @property
    def first(self) -> Taken:
        return self.looks[0]

    def records(
        self, meta: dict[str, str], streams: tuple[Stream, ...]
    ) -> tuple[ModelRecord, ModelRecord]:
        """The model at the start and after the steps."""
        before = self._record(self.first, "start", {}, meta)
        after = self._record(self.looks[-1], f"after {meta['steps']} steps", self.moved, meta)
        return replace(before, streams=stream_records(streams, self.first.snapshot.sums)), after

    def _record(
        self, looked: Taken, moment: str, moved: dict[str, float], meta: dict[str, str]
    ) -> ModelRecord:
        return model_record(
            looked.snapshot,
            self.first.parameters,
            self.first.nodes,
            moment=moment,
            meta=meta,
            movement=moved,
            not_observed=self.looker.not_observed,
        )


def _follow(
    looker: SnapshotTaker,
    first: Taken,
    optimizer: torch.optim.Optimizer,
    facts: OptimizerFacts,
    steps: int,
    *,
    is_own: bool,
) -> _Course:
    """Take the steps, with a look after each; where they lead is asked of the user's own."""
    looks, model, shown = [first], looker.model, dict[str, Any]()
    starts, pace = copies(model), [rates_of(optimizer)]
    with preserved(*foreign(model, optimizer)):
        for step in range(1, steps + 1):
            is_sound = not shown.get("broken") and _is_sound(looks[-1].snapshot)
            take_step(optimizer, looker.program)
            pace.append(rates_of(optimizer))
            if step == 1 and is_own:
                shown["direction"] = direction(model, starts)
            if is_sound and (broken := broken_layers(model)):
                shown |= {"broken": broken, "broken_at": step}
            looks.append(looker.take(step, full=step == steps))
        moved = movement(model, starts)
        if is_own:
            shown["lost_share"] = lost_share(model, starts, optimizer)
    return _Course(
        looker=looker,
        looks=tuple(looks),
        optimizer=optimizer,
        facts=replace(facts, fading=fading(pace), **shown),
        moved=moved,
    )


def _laid_out(
    course: _Course,
    answers: Answers,
    objective: ObjectiveFacts | None,
    anomalies: dict[str, tuple[str, ...]],
    *,
    is_default: bool,
) -> Observed:
    first, program, optimizer = course.first, course.looker.program, course.optimizer
    chosen = choices(program, first)
    streams = residual_streams(first.nodes, _matrices(first))
    meta = _meta(program, optimizer, len(course.looks) - 1, chosen.meta())
    before, after = course.records(meta, streams)
    return Observed(
        nodes=first.nodes,
        parameters=first.parameters,
        snapshots=tuple(looked.snapshot for looked in course.looks),
        loss=replace(answers.loss, left_out=chosen.left_out),
        before=before,
        after=after,
        order=first.order,
        rates=_rates(program.model, optimizer),
        is_default_optimizer=is_default,
        output_nodes=first.output_nodes,
        backward_nodes=first.backward_nodes,
        reshapes=first.reshapes,
        crossings=first.crossings,
        turned=first.turned,
        interleaved=answers.interleaved,
        streams=streams,
        anomalies=anomalies,
        objective_nodes=_goals(program, first, objective),
        objective=objective,
        first_nonfinite=answers.first_nonfinite,
        batch_paths=_batch_paths(program, first.snapshot),
        input_scale=answers.input_scale,
        momentum=float(optimizer.param_groups[0].get("momentum") or 0.0),
        optimizer=course.facts,
        inplace_inputs=answers.inplace_inputs,
        is_handwritten=answers.is_handwritten,
        has_dropout=first.has_dropout,
    )


def _batch_paths(program: Program, look: Snapshot) -> dict[str, BatchPlace]:
    return batch_paths(program.batch, {**look.layer_inputs, "targets": look.targets})


def _matrices(first: Taken) -> set[str]:
    return {name for name, known in first.parameters.items() if len(known.shape) > 1}


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


def _refuse_closure(optimizer: torch.optim.Optimizer) -> None:
    if needs_closure(optimizer):
        raise InitcheckError(
            f"{type(optimizer).__name__} evaluates the loss itself, which cannot be measured in "
            "parts; pass unshard=True, or another optimiser"
        )


def _anomalies(first: Taken, optimizer: torch.optim.Optimizer) -> dict[str, tuple[str, ...]]:
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    unregistered = dict.fromkeys(
        place for place, tensor in first.unregistered if id(tensor) not in held
    )
    found = {"stray": tuple(unregistered), "vanished": first.vanished}
    return {kind: layers for kind, layers in found.items() if layers}


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
