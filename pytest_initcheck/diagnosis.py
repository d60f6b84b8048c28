"""``diagnose``: looks at a model before and after a few real steps, and judges its start."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.holding import broken_layers, direction, foreign, holding
from pytest_initcheck.capture.look import Looked, Looker
from pytest_initcheck.capture.lossfacts import loss_facts
from pytest_initcheck.capture.oddities import oddities
from pytest_initcheck.capture.opening import opened
from pytest_initcheck.capture.places import given_scale, places
from pytest_initcheck.capture.program import Forward, LossFunction, Program, moved
from pytest_initcheck.capture.quiet import switch_off_dropout
from pytest_initcheck.capture.record import model_record
from pytest_initcheck.capture.state import preserved
from pytest_initcheck.capture.step import take_step
from pytest_initcheck.checks import Check, judge
from pytest_initcheck.dependence import dependencies
from pytest_initcheck.dependencies import Dependencies
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Evidence, Look
from pytest_initcheck.ignores import Given, Ignore, parse
from pytest_initcheck.learning import Learning, learn
from pytest_initcheck.objective.facts import objective_facts
from pytest_initcheck.objective.record import ObjectiveFacts
from pytest_initcheck.records import Finding, ModelRecord, RunRecord, Verdict
from pytest_initcheck.remedy import Remedied, mechanical, run_code
from pytest_initcheck.sharpness import with_sharpness
from pytest_initcheck.sigma import SigmaRange, sigma_range, with_sigma
from pytest_initcheck.suppression import sort_out

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pytest_initcheck.curvature import CriticalPoint

Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Subject:
    """What ``diagnose`` was called with, for what is asked of the diagnosis later."""

    model: nn.Module
    batch: Any
    loss_fn: LossFunction | None = None
    optimizer: Optimizer | None = None
    steps: int = 5
    forward: Forward | None = None
    device: str | torch.device | None = None
    checks: Sequence[Check] | None = None
    ignore: Given = ()
    causal: bool | None = None
    thorough: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What was measured at the start (``record``) and after the steps (``after``), and what is
    wrong. ``losses`` holds the loss on the batch before each step and after the last;
    ``subject`` is what was diagnosed, ``applied`` the code of the remedies that `try_remedy` ran
    before. ``ignored`` are the findings that do not count, each with its reason;
    ``unused_ignores`` the ignores that match none, ``proved`` what `dependencies` returns,
    ``learning`` what `learns` says of the start where the diagnosis was thorough."""

    record: ModelRecord
    after: ModelRecord
    findings: list[Finding]
    losses: tuple[float, ...]
    subject: Subject | None = field(default=None, repr=False, compare=False)
    applied: tuple[str, ...] = ()
    ignored: list[Finding] = field(default_factory=list)
    unused_ignores: list[Ignore] = field(default_factory=list)
    proved: Dependencies | None = field(default=None, repr=False, compare=False)
    learning: Learning | None = field(default=None, repr=False, compare=False)

    @property
    def verdict(self) -> Verdict:
        """ "fail" with any error, "warn" with any warning, else "pass"."""
        severities = {finding.severity for finding in self.findings}
        if "error" in severities:
            return "fail"
        return "warn" if "warning" in severities else "pass"

    def try_remedy(self, rounds: int = 3) -> Diagnosis:
        """The diagnosis after the code that the findings carry as remedy has run.

        It runs on the model and on copies of the data; the model is put back, bit for bit. What
        is drawn anew is drawn from a fixed seed. Where the diagnosis after it carries further
        code, that runs too, ``rounds`` times at most. The result is this diagnosis itself where
        no finding carries code (``applied`` is empty); a remedy is no promise that the verdict
        gets better. What the result is asked later, such as `sigma_range`, is about the model as
        it stands, without the remedies.

        Raises:
            InitcheckError: the diagnosis was read from a file, or the code does not fit the model.
        """
        subject = self._asked()
        found: Diagnosis = self
        with preserved(subject.model, subject.loss_fn, subject.forward):
            torch.default_generator.manual_seed(0)
            if any(parameter.is_cuda for parameter in subject.model.parameters()):
                torch.cuda.manual_seed_all(0)
            Program(subject.model, subject.batch, None, subject.forward).materialise()
            given = Remedied(subject.batch, subject.optimizer)
            given = run_code(self.applied, subject.model, given)
            for _ in range(rounds):
                codes = mechanical(found.findings, found.applied)
                if not codes:
                    break
                given = run_code(codes, subject.model, given)
                retry = replace(subject, batch=given.batch, optimizer=given.optimizer)
                found = replace(diagnose(**vars(retry)), applied=(*found.applied, *codes))
        return replace(found, subject=subject)

    def sigma_range(self, layer: str) -> SigmaRange:
        """The smallest and the largest σ with which a layer does not saturate on this batch.

        Its weights and biases are drawn from N(0, σ²), always from the same numbers; the other
        layers keep theirs, and the model is put back. Found by bisection, to about one percent.

        Raises:
            InitcheckError: there is no such layer, or no nonlinearity follows it.
        """
        subject = self._asked()
        batch = moved(subject.batch, _home(subject.model))
        program = Program(subject.model, batch, subject.loss_fn, subject.forward)
        return sigma_range(program, layer)

    def critical_point(self, **options: Any) -> CriticalPoint:
        """Where the model stands now: on a slope, a saddle, in a minimum or on flat ground.

        It is the model as it is when this is called, trained or not, on the batch and with the
        loss of the diagnosis. ``options`` are those of `pytest_initcheck.critical_point`, which
        says what is measured and what is raised.
        """
        from pytest_initcheck.curvature import critical_point

        subject = self._asked()
        given = subject.batch, subject.loss_fn, subject.forward, subject.device
        return critical_point(subject.model, *given, **options)

    def dependencies(self) -> Dependencies:
        """Which outputs moved when one sample, one position or one input was perturbed.

        Measured at the start, with the statistics of the batch held and dropout switched off.

        Raises:
            InitcheckError: the diagnosis was read from a file.
        """
        if self.proved is None:
            raise InitcheckError("this diagnosis does not hold what it measured; diagnose anew")
        return self.proved

    def _asked(self) -> Subject:
        if self.subject is None:
            raise InitcheckError(
                "this diagnosis does not hold its model; call diagnose(model, batch, ...) anew"
            )
        return self.subject

    def run_record(self) -> RunRecord:
        """The diagnosis as the record that reports and baselines hold."""
        return RunRecord(
            curves={"loss": (self.losses,)},
            before=self.record,
            after=self.after,
            meta=dict(self.record.meta),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, moment ("start" or "after … steps") and tensor, with its moments."""
        from pytest_initcheck.frames import diagnosis_frame

        return diagnosis_frame(self)

    def plot(self) -> Figure:
        """Histograms of weights, activations and gradients per layer, before and after."""
        from pytest_initcheck.frames import diagnosis_figure

        return diagnosis_figure(self)

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}", *(str(finding) for finding in self.findings)]
        lines += [f"ignored ({finding.ignored}): {finding}" for finding in self.ignored]
        return "\n".join(lines)


def diagnose(
    model: nn.Module,
    batch: Any,
    loss_fn: LossFunction | None = None,
    optimizer: Optimizer | None = None,
    steps: int = 5,
    forward: Forward | None = None,
    device: str | torch.device | None = None,
    *,
    checks: Sequence[Check] | None = None,
    ignore: Given = (),
    causal: bool | None = None,
    thorough: bool = False,
) -> Diagnosis:
    """Judge whether a model starts in a state from which it can learn.

    Takes ``steps`` real optimisation steps on the batch, measures before and after, and puts
    everything back bit for bit: parameters, buffers, gradients, modes, hooks and random streams.

    Args:
        model: any ``nn.Module`` with a trainable parameter; diagnosed in training mode.
        batch: ``(inputs, targets)``, a mapping (called as ``model(**batch)``), or inputs alone.
            ``inputs`` may be a tuple (``model(*inputs)``) or a mapping.
        loss_fn: ``(output, targets) -> scalar``. Default: the output's ``.loss``; cross-entropy
            for integer targets; mean squared error for floating targets of the output's shape.
        optimizer: ``params -> torch.optim.Optimizer``. Default: SGD with lr 1e-2.
        steps: how many steps, from 1 up. Default 5: a chain of zero-initialised parts (head,
            gate, branch) needs three to four steps before a gradient reaches its end.
        forward: ``(model, batch) -> scalar loss``, in place of ``loss_fn``.
        device: move model and batch there for the diagnosis, and the model back after it.
        checks: checks to run in place of the registered ones.
        ignore: findings that shall not count: "IC201 encoder.*: reason", with a glob for the
            layer, or a list of such; see `pytest_initcheck.Ignore`.
        causal: whether no output may depend on a later position of the sequence. Default: what
            a language model's own configuration says; without one it is not asked.
        thorough: also ask whether the model can fit the batch, with at most 300 steps; see
            `pytest_initcheck.learns`.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    ignores = parse(ignore)
    validate.check_steps(steps)
    with opened(model, batch, loss_fn, forward, device) as program:
        odd = oddities(model)
        program.materialise()
        switch_off_dropout(model)
        proved = dependencies(program, causal=causal)
        with preserved(model, loss_fn, forward):
            objective = objective_facts(program)
        learning = learn(program, optimizer, objective) if thorough else None
        evidence = gather(program, optimizer, steps, objective)
        evidence = replace(
            evidence,
            oddities={**odd, **evidence.oddities},
            dependencies=proved,
            learning=learning,
        )
    evidence = with_sharpness(
        evidence, model=model, batch=batch, loss_fn=loss_fn, forward=forward, device=device
    )
    at_home = Program(model, moved(batch, _home(model)), loss_fn, forward)
    found = sort_out(with_sigma(judge(evidence, checks), at_home), ignores)
    return Diagnosis(
        evidence.before,
        evidence.after,
        found.findings,
        tuple(look.loss for look in evidence.looks),
        Subject(
            model,
            batch,
            loss_fn,
            optimizer,
            steps,
            forward,
            device,
            checks,
            ignores,
            causal,
            thorough,
        ),
        ignored=found.ignored,
        unused_ignores=found.unused,
        proved=proved,
        learning=learning,
    )


def _home(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def gather(
    program: Program,
    optimizer: Optimizer | None,
    steps: int,
    objective: ObjectiveFacts | None = None,
) -> Evidence:
    """Take the looks and the steps; the caller has saved the model's state."""
    model, looker = program.model, Looker(program)
    first = looker.take(0)
    facts = loss_facts(program, first)
    made, is_empty = _optimizer(optimizer, model)
    starts = {name: p.detach().clone() for name, p in model.named_parameters()}
    looks, held = [first], holding(model, made, is_empty=is_empty)
    with preserved(*foreign(model, made)):
        for step in range(1, steps + 1):
            is_sound = not held.broken and _is_sound(looks[-1].look)
            take_step(made, program)
            if step == 1:
                held = replace(held, direction=direction(model, starts))
            if is_sound and (broken := broken_layers(model)):
                held = replace(held, broken=broken, broken_at=step)
            looks.append(looker.take(step, full=step == steps))
    movement = _movement(model, starts)
    meta = _meta(program, made, steps)
    before, after = (
        model_record(
            looked.look, first.parameters, first.nodes, moment=moment, meta=meta, movement=moves,
            not_observed=looker.not_observed,
        )
        for looked, moment, moves in (
            (first, "start", {}),
            (looks[-1], f"after {steps} steps", movement),
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
        oddities={"stray": first.strays} if first.strays else {},
        goals=_goals(program, first, objective),
        objective=objective,
        places=places(program.batch, {**first.look.fed, "targets": first.look.targets}),
        given=given_scale(program.batch),
        momentum=float(made.param_groups[0].get("momentum", 0.0)),
        holding=held,
    )


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


def _movement(model: nn.Module, starts: dict[str, Tensor]) -> dict[str, float]:
    """‖w_after − w_before‖ / ‖w_before‖ per trainable parameter, 0/0 taken as 0; one host read."""
    names, pairs = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name in starts and parameter.numel():
            start = starts[name].to(parameter.device)
            names.append(name)
            pairs.append(torch.stack([(parameter.detach() - start).norm(), start.norm()]).float())
    if not names:
        return {}
    table = torch.stack([pair.to(pairs[0].device) for pair in pairs]).double().tolist()
    return {
        name: moved / norm if norm else (float("inf") if moved else 0.0)
        for name, (moved, norm) in zip(names, table, strict=True)
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
