"""``check_step``: calls a training step, looks at what it does, and puts everything back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from pytest_initcheck.capture.device import described
from pytest_initcheck.checks.apply_ignores import Sorted, sort_out
from pytest_initcheck.checks.known_ignores import parse_known
from pytest_initcheck.checks.step_rules import AGAIN
from pytest_initcheck.checks.written_by import with_lines
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ignores import IgnoreSpec
from pytest_initcheck.inputs.loaders import first_batch
from pytest_initcheck.ledger import Recorded, unpacked
from pytest_initcheck.records import Finding
from pytest_initcheck.stepping import arguments
from pytest_initcheck.stepping.calling import Step, StepArguments, step_of
from pytest_initcheck.stepping.facts import InitialWeights, seen, snapshot
from pytest_initcheck.stepping.judge import frozen, judge_step
from pytest_initcheck.stepping.judge_model import unheld
from pytest_initcheck.stepping.lightning import lightning_step, module_of
from pytest_initcheck.stepping.observations import StepCall, StepObservations
from pytest_initcheck.stepping.observer import StepObserver
from pytest_initcheck.stepping.reach import Reach, reach
from pytest_initcheck.stepping.repeat import Runs
from pytest_initcheck.stepping.report import StepReport
from pytest_initcheck.stepping.restore import kept
from pytest_initcheck.stepping.run import StepRaised, call_until_seen, one_call
from pytest_initcheck.stepping.taps import tapped

STEPS = 3


def check_step(
    train_step: Any,
    model: nn.Module | Recorded,
    optimizer: Any,
    batch: Any,
    *,
    scaler: Any = None,
    steps: int = STEPS,
    ignore: IgnoreSpec = (),
) -> StepReport:
    """Run your own training step several times on one batch, and tell what is wrong with it.

    It runs ``steps`` times, watched, and twice more from the same state, to compare. More often
    only where that shows less than two steps of an optimiser: up to 17 times while a scaler skips
    them, up to 64 while the step gathers gradients. Everything in reach is put back bit for bit,
    also when the step raises: model, gradients, modes, hooks, optimisers with their groups,
    scaler, random streams, and what the step's closure, defaults, globals, objects and their
    classes hold, such as schedulers, averaged models and counters. Out of reach are iterators,
    files and other processes.

    Args:
        train_step: a function of (model, optimizer, batch), (model, batch), (batch) or (batch,
            batch_idx), told apart by names, then by number; it may take ``scaler`` too, and the
            parts of the batch in place of it. It may return the loss as tensor or float, or a
            mapping with "loss". A LightningModule, or its ``training_step``, is stepped as its
            trainer would.
        model: the module whose weights the step trains, in the mode in which you train it; or what
            `pytest_initcheck.construction` returned, over whose ``.model`` the optimiser was built:
            findings then tell which calls wrote their layers. No factory: the optimiser holds the
            parameters of one model.
        optimizer: the optimiser itself, or a list, tuple or mapping of all that the step uses, as
            ``configure_optimizers`` returns it.
        batch: whatever the step takes; each call gets fresh copies of its tensors. Of a
            ``DataLoader`` the first batch is taken.
        scaler: the ``torch.amp.GradScaler``, where the step takes it. Default None; one that the
            step has from elsewhere is seen all the same.
        steps: how often the step is called at least, from 2 up. Default 3: what begins at zero
            needs more than one step, and no single one decides.
        ignore: findings that shall not count, as in `pytest_initcheck.diagnose`.

    Raises:
        InitcheckError: wrong use or bad input, or the step raised; the message says what to pass.
    """
    ignores = parse_known(ignore)
    module, facts = unpacked(model)
    arguments.check_function(train_step)
    optimizers = arguments.optimizers_of(optimizer)
    arguments.check_numbers(steps, scaler)
    can_train = arguments.check_step_model(module, optimizers)
    given = StepArguments(module, optimizer, first_batch(batch)[0], scaler)
    job = _Job(train_step, given, optimizers, steps)
    try:
        findings, watcher = job.findings() if can_train else (frozen(module), None)
    except StepRaised as error:
        raise InitcheckError(str(error)) from error.__cause__
    if facts is not None:
        findings = [with_lines(finding, facts) for finding in findings]
    calls = watcher.calls if watcher is not None else []
    return _report(sort_out(findings, ignores), calls, _meta(module, optimizers))


def _report(found: Sorted, calls: Sequence[StepCall], meta: dict[str, str]) -> StepReport:
    return StepReport(
        findings=found.findings,
        losses=tuple(call.loss for call in calls if call.loss is not None),
        calls=len(calls),
        meta=meta,
        ignored=found.ignored,
        unused_ignores=found.unused,
    )


class _Job:
    """One check: the step and what it is given."""

    def __init__(
        self, train_step: Any, given: StepArguments, optimizers: list[Any], steps: int
    ) -> None:
        self.train_step, self.given = train_step, given
        self.optimizers, self.steps = optimizers, steps
        module = module_of(train_step)
        # Refuses a step that cannot be called before anything is touched.
        self.plain = step_of(train_step if module is None else module.training_step, given)
        self.module = module

    def findings(self) -> tuple[list[Finding], StepObserver]:
        """Run the step, run it again, and judge."""
        found = reach(
            self.train_step, self.given.model, self.given.optimizer, self.given.scaler,
            self.given.batch,
        )  # fmt: skip
        runs = Runs(model=self.given.model, iterators=found.iterators)
        watcher, evidence = self._first(found, runs)
        if not evidence.calls:
            return list(unheld(evidence)), watcher
        with kept(found):
            other = StepObserver(self.given.model, self.optimizers)
            step = self._step(other)
            with tapped(other):
                for index in range(AGAIN):
                    other.begin()
                    one_call(step, index)
            runs.second = snapshot(self.given.model)
        return judge_step(evidence, runs), watcher

    def _first(self, found: Reach, runs: Runs) -> tuple[StepObserver, StepObservations]:
        with kept(found):
            watcher = StepObserver(self.given.model, self.optimizers)
            start = InitialWeights(watcher)
            runs.start = snapshot(self.given.model)

            def after(calls: int) -> None:
                if calls == AGAIN:
                    runs.first = snapshot(self.given.model)

            step = self._step(watcher)
            try:
                with tapped(watcher):
                    call_until_seen(step, watcher, self.steps, after)
            except StepRaised:
                # A scaler, say, refuses an optimiser whose tensors have no gradient.
                evidence = seen(watcher, start, self.optimizers)
                if not list(unheld(evidence)):
                    raise
                return watcher, replace(evidence, calls=[])
            return watcher, seen(watcher, start, self.optimizers)

    def _step(self, watcher: StepObserver) -> Step:
        if self.module is None:
            return self.plain
        return lightning_step(self.module, self.given, self.optimizers, watcher)


def _meta(model: nn.Module, optimizers: list[Any]) -> dict[str, str]:
    parameter = next(model.parameters())
    rates = [group.get("lr") for o in optimizers for group in o.param_groups[:1]]
    return {
        "model": type(model).__name__,
        "optimizer": ", ".join(type(o).__name__ for o in optimizers),
        "lr": ", ".join(f"{float(rate):g}" for rate in rates if rate is not None),
        **described(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
    }
