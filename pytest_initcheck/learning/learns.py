"""``learns``: takes real steps on a batch, and says whether the model can fit it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.composite_calls import CompositeCalls, switch_off_dropout
from pytest_initcheck.capture.device import described
from pytest_initcheck.capture.optimizer_facts import foreign
from pytest_initcheck.capture.prepare import opened
from pytest_initcheck.capture.program import Forward, LossFunction, Optimizer, Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.distributed.together import as_one, bare, joined
from pytest_initcheck.evidence.learning import MOST_STEPS, Learning
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.inputs import adapted
from pytest_initcheck.learning.bench import Bench, Tried
from pytest_initcheck.learning.bounds import Stakes, stakes_of
from pytest_initcheck.learning.influence import is_fading
from pytest_initcheck.learning.judge import (
    Conclusion,
    TrialSubject,
    best_of,
    conclude,
    unanswerable,
    undecided,
)
from pytest_initcheck.learning.plans import own, plans, trainable
from pytest_initcheck.ledger import Recorded, built
from pytest_initcheck.objective.tail import Tail, record_tail
from pytest_initcheck.report import notebook as _notebook  # noqa: F401
from pytest_initcheck.training.progress import bar


def learns(
    model: nn.Module | Callable[[], nn.Module] | Recorded,
    batch: Any,
    loss_fn: LossFunction | None = None,
    optimizer: Optimizer | None = None,
    forward: Forward | None = None,
    device: str | torch.device | None = None,
) -> Learning:
    """Judge whether a model can fit its own batch.

    Takes real steps with the optimiser, then with Adam at a few rates, at most 300 in all, stops
    as soon as they say enough either way, and puts everything back bit for bit. The arguments are
    those of `pytest_initcheck.diagnose`; see docs/learns.md for what is concluded, and when.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    module, _ = built(model)
    with joined(module) as spread:
        given = adapted(bare(module, spread), batch, loss_fn, optimizer, forward)
        whole = as_one(module, spread, given.batch, given.optimizer)
        with opened(whole.model, whole.batch, given.loss_fn, given.forward, device) as program:
            program.materialise()
            return learn(program, whole.optimizer)


def learn(
    program: Program, optimizer: Optimizer | None, facts: ObjectiveFacts | None = None
) -> Learning:
    """The same for a program that is ready to be evaluated; ``facts`` of its loss, if known."""
    model = program.model
    others = foreign(model, own(optimizer)(model)) if optimizer is not None else []
    with preserved(model, program.loss_fn, program.forward, *others), _eager():
        switch_off_dropout(model)
        with preserved(), CompositeCalls():
            tail = record_tail(program)
        first, subject, is_sparse = _look(program, tail)
        stakes = stakes_of(tail, program, first, facts)
        tried: list[Tried] = []
        if not unanswerable(stakes):
            tried = _try(program, tail, stakes, optimizer, is_sparse)
        return _told(program, stakes, _concluded(program, stakes, subject, tried), tried)


def _eager() -> Any:
    # Compiled code would have to be compiled anew for every restored state.
    return torch.compiler.set_stance("force_eager")


def _look(program: Program, tail: Tail | None) -> tuple[float, TrialSubject, bool]:
    """The first loss, what an evaluation does beside it, and whether a gradient is sparse."""
    model = program.model
    with preserved(model, program.loss_fn, program.forward):
        bench = Bench(program, tail, Stakes(first=0.0), lambda done: None)
        bench.evaluate()
        # Layers that take their scale from the first batch have done so now.
        versions = [p._version for p in model.parameters()]
        first, again = bench.evaluate(), bench.evaluate()
        subject = TrialSubject(
            noise=abs(again - first) if math.isfinite(again - first) else 0.0,
            is_changing=versions != [p._version for p in model.parameters()],
            parameters=sum(p.numel() for p in trainable(model)),
        )
        is_sparse = any(p.grad is not None and p.grad.is_sparse for p in model.parameters())
    return first, subject, is_sparse


def _try(
    program: Program, tail: Tail | None, stakes: Stakes, optimizer: Any, is_sparse: bool
) -> list[Tried]:
    tried: list[Tried] = []
    with bar(MOST_STEPS, "can it fit its batch", unit="step") as tick:
        bench = Bench(program, tail, stakes, tick)
        for plan in plans(optimizer, program.model, is_sparse=is_sparse):
            if any(each.plan.name == plan.name for each in tried):
                continue
            tried.append(bench.run(plan))
            if tried[-1].trial.course == "fits" or not math.isfinite(stakes.first):
                return tried
        left = MOST_STEPS - sum(each.trial.steps for each in tried)
        tried.append(bench.run(replace(best_of(tried).plan, steps=left, is_last=True)))
    return tried


def _concluded(
    program: Program, stakes: Stakes, subject: TrialSubject, tried: list[Tried]
) -> Conclusion:
    reason = unanswerable(stakes)
    if reason:
        return undecided(reason)
    found = conclude(tried, stakes, subject)
    if found.outcome == "fails" and is_fading(program):
        return conclude(tried, stakes, replace(subject, is_fading=True))
    return found


def _told(program: Program, stakes: Stakes, found: Conclusion, tried: list[Tried]) -> Learning:
    best = best_of(tried).trial if tried else None
    parameter = next(program.model.parameters())
    return Learning(
        outcome=found.outcome,
        reason=found.reason,
        first=stakes.first,
        loss=best.loss if best else stakes.first,
        constant=stakes.constant,
        floor=None if stakes.is_open else stakes.floor,
        steps=sum(each.trial.steps for each in tried),
        optimizer=best.optimizer if best else "",
        trials=tuple(each.trial for each in tried),
        meta={
            "model": type(program.model).__name__,
            "loss": program.loss_name,
            **described(parameter.device),
            "dtype": str(parameter.dtype).removeprefix("torch."),
        },
    )
