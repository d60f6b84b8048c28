"""Takes the looks and the steps of a diagnosis, and lays out what was measured as evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.batch_paths import given_scale, places
from pytest_initcheck.capture.chance_loss import loss_facts
from pytest_initcheck.capture.first_nonfinite import birthplace
from pytest_initcheck.capture.inplace_inputs import written
from pytest_initcheck.capture.layer_records import model_record
from pytest_initcheck.capture.movement import copies, movement
from pytest_initcheck.capture.optimizer_facts import broken_layers, direction, foreign, holding
from pytest_initcheck.capture.optimizer_step import take_step
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.snapshot import Looked, Looker
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Evidence, Holding, Look
from pytest_initcheck.evidence.objective import ObjectiveFacts

Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


def gather(
    program: Program,
    optimizer: Optimizer | None,
    steps: int,
    objective: ObjectiveFacts | None = None,
) -> Evidence:
    """Take the looks and the steps; the caller has saved the model's state."""
    model, looker = program.model, Looker(program)
    first = looker.take(0)
    rewritten = written(program, looker.seen)
    facts = loss_facts(program, first)
    born = None if _is_whole(first.look) else birthplace(program)
    made, is_empty = _optimizer(optimizer, model)
    starts = copies(model)
    held = holding(model, made, is_empty=is_empty)
    with preserved(*foreign(model, made)):
        looks, held = _stepped(looker, first, made, steps, held, starts)
    moved = movement(model, starts)
    meta = _meta(program, made, steps)
    before, after = (
        model_record(
            looked.look, first.parameters, first.nodes, moment=moment, meta=meta, movement=moves,
            not_observed=looker.not_observed,
        )
        for looked, moment, moves in (
            (first, "start", {}),
            (looks[-1], f"after {steps} steps", moved),
        )
    )  # fmt: skip
    return Evidence(
        nodes=first.nodes,
        parameters=first.parameters,
        looks=tuple(looked.look for looked in looks),
        loss=facts,
        before=before,
        after=after,
        order=first.order,
        rates=_rates(model, made),
        is_default_optimizer=optimizer is None,
        ends=first.ends,
        reached=first.reached,
        reshapes=first.reshapes,
        oddities=_oddities(first),
        goals=_goals(program, first, objective),
        objective=objective,
        born_at=born,
        places=places(program.batch, {**first.look.fed, "targets": first.look.targets}),
        given=given_scale(program.batch),
        momentum=float(made.param_groups[0].get("momentum", 0.0)),
        holding=held,
        written=rewritten,
    )


def _stepped(
    looker: Looker,
    first: Looked,
    optimizer: torch.optim.Optimizer,
    steps: int,
    held: Holding,
    starts: dict[str, Tensor],
) -> tuple[list[Looked], Holding]:
    """Take the steps, with a look after each; what they show of the optimiser is noted."""
    looks, model = [first], looker.model
    for step in range(1, steps + 1):
        is_sound = not held.broken and _is_sound(looks[-1].look)
        take_step(optimizer, looker.program)
        if step == 1:
            held = replace(held, direction=direction(model, starts))
        if is_sound and (broken := broken_layers(model)):
            held = replace(held, broken=broken, broken_at=step)
        looks.append(looker.take(step, full=step == steps))
    return looks, held


def _goals(program: Program, first: Looked, objective: ObjectiveFacts | None) -> frozenset[int]:
    """The nodes that made what is minimised: the outputs that the loss follows back."""
    if program.forward is not None or objective is None or not objective.outputs:
        return first.goals
    return frozenset().union(*(first.makers[place] for place in objective.outputs))


def _optimizer(optimizer: Optimizer | None, model: nn.Module) -> tuple[torch.optim.Optimizer, bool]:
    """The optimiser, and whether it refused to be built for want of a parameter."""
    try:
        return validate.make_optimizer(optimizer, model), False
    except InitcheckError as error:
        if "empty parameter list" not in str(error):
            raise
        return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0), True


def _oddities(first: Looked) -> dict[str, tuple[str, ...]]:
    found = {"stray": first.strays, "vanished": first.vanished}
    return {kind: layers for kind, layers in found.items() if layers}


def _is_whole(look: Look) -> bool:
    """Whether the loss and the outputs of all layers are finite."""
    return math.isfinite(look.loss) and not any(o.stats.nonfinite for o in look.outputs.values())


def _is_sound(look: Look) -> bool:
    """Whether the loss and every gradient of a look are finite."""
    gradients = (p.gradient for p in look.parameters.values())
    return math.isfinite(look.loss) and not any(g.nonfinite for g in gradients if g is not None)


def _rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: float(group.get("lr", 0.0))
        for group in optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in names
    }


def _meta(program: Program, optimizer: torch.optim.Optimizer, steps: int) -> dict[str, str]:
    parameter = next(program.model.parameters())
    return {
        "model": type(program.model).__name__,
        "loss": program.loss_name,
        "optimizer": type(optimizer).__name__,
        "lr": f"{optimizer.param_groups[0].get('lr', 0.0):g}",
        "steps": str(steps),
        "device": parameter.device.type,
        "dtype": str(parameter.dtype).removeprefix("torch."),
    }
