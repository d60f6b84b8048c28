"""``diagnose``: looks at a model before and after a few real steps, and judges its start."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.choices import said
from pytest_initcheck.capture.program import Forward, LossFunction, Optimizer, Program, moved
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.checks import Check, judge
from pytest_initcheck.checks.apply_ignores import sort_out
from pytest_initcheck.checks.known_ignores import parse_known
from pytest_initcheck.checks.optimiser import Optimiser
from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.checks.verdict import verdict_of
from pytest_initcheck.checks.written_by import with_lines
from pytest_initcheck.diagnosis.agree import Conclusions, told_by_first
from pytest_initcheck.diagnosis.by_ranks import of_all
from pytest_initcheck.diagnosis.gather import gather
from pytest_initcheck.diagnosis.sigma_range import sigma_range
from pytest_initcheck.diagnosis.subject import Subject
from pytest_initcheck.diagnosis.try_remedy import Remedied, mechanical, run_remedies
from pytest_initcheck.distributed.spread import Spread
from pytest_initcheck.distributed.together import bare, joined
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.evidence.dependencies import Dependencies
from pytest_initcheck.evidence.learning import Learning
from pytest_initcheck.evidence.sigma_range import SigmaRange
from pytest_initcheck.ignores import Ignore, IgnoreSpec
from pytest_initcheck.inputs import adapted
from pytest_initcheck.ledger import Recorded, built
from pytest_initcheck.ranks.ranks import Ranks
from pytest_initcheck.records import Finding, ModelRecord, RunRecord, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pytest_initcheck.curvature import CriticalPoint, Jacobian


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was measured at the start (``record``) and after the steps (``after``), and what is
    wrong. ``losses`` holds the loss on the batch before each step and after the last;
    ``subject`` is what was diagnosed, ``remedies`` what `try_remedy` ran before. ``ignored`` are
    the findings that do not count, each with its reason; ``unused_ignores`` the ignores that
    match none, ``proved`` what `dependencies` returns, ``learning`` what `learns` says of the
    start where the diagnosis was thorough, ``parts`` the losses that the loss is the sum of, each
    at the same moments as ``losses``, ``chance`` the loss of a model that knows nothing."""

    record: ModelRecord
    after: ModelRecord
    findings: list[Finding]
    losses: tuple[float, ...]
    subject: Subject | None = field(default=None, repr=False, compare=False)
    remedies: tuple[Remedy, ...] = ()
    ignored: list[Finding] = field(default_factory=list)
    unused_ignores: list[Ignore] = field(default_factory=list)
    proved: Dependencies | None = field(default=None, repr=False, compare=False)
    learning: Learning | None = field(default=None, repr=False, compare=False)
    parts: dict[str, tuple[float, ...]] = field(default_factory=dict)
    chance: float | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        """ "fail" with any error, "warn" with any warning, else "pass"."""
        return verdict_of(self.findings)

    @property
    def applied(self) -> tuple[str, ...]:
        """The code of the remedies that `try_remedy` ran before."""
        return tuple(remedy.code for remedy in self.remedies)

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
            given = run_remedies(self.remedies, subject.model, given)
            facts = _holding(subject.construction, self.remedies)
            for _ in range(rounds):
                more = mechanical(found.findings, found.remedies)
                if not more:
                    break
                given = run_remedies(more, subject.model, given)
                facts = _holding(facts, more)
                retry = replace(
                    subject, batch=given.batch, optimizer=given.optimizer, construction=facts
                )
                found = replace(_diagnosed(retry), remedies=(*found.remedies, *more))
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

    def jacobian(self, **options: Any) -> Jacobian:
        """The outermost singular values of what the model makes of small changes of its inputs.

        Of the model as it is when this is called, on the first samples of the diagnosis' batch.
        ``options`` are those of `pytest_initcheck.jacobian`, which says what is measured and what
        is raised.
        """
        from pytest_initcheck.curvature import jacobian

        subject = self._asked()
        return jacobian(subject.model, subject.batch, subject.forward, subject.device, **options)

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
        if self.subject.across is not None:
            raise InitcheckError(
                "the model was measured in parts, and this is asked of all of it; pass unshard=True"
            )
        return self.subject

    def run_record(self) -> RunRecord:
        """The diagnosis as the record that reports and baselines hold."""
        facts = self.subject.construction if self.subject else None
        return RunRecord(
            curves={"loss": (self.losses,)},
            before=self.record,
            after=self.after,
            meta=dict(self.record.meta),
            shown={
                **{name: (values,) for name, values in self.parts.items()},
                **(self.learning.shown if self.learning else {}),
            },
            levels={} if self.chance is None else {"loss": {"chance": self.chance}},
            ledger=facts.stories() if facts else {},
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, moment ("start" or "after … steps") and tensor, with its moments."""
        from pytest_initcheck.report.export import models_frame

        return models_frame((self.record, self.after))

    def plot(self) -> Figure:
        """Histograms of weights, activations and gradients per layer, before and after."""
        from pytest_initcheck.report.export import models_figure

        return models_figure(self.record, self.after, f"verdict: {self.verdict}")

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import page_of

        return page_of(self)

    def __repr__(self) -> str:
        ids = ", ".join(dict.fromkeys(finding.id for finding in self.findings)) or "no findings"
        losses = f"{self.losses[0]:.4g} to {self.losses[-1]:.4g}"
        return f"Diagnosis({self.verdict}: {ids}; {len(self.record.layers)} layers, loss {losses})"

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}", *(str(finding) for finding in self.findings)]
        lines += [f"ignored ({finding.ignored}): {finding}" for finding in self.ignored]
        lines += [f"fit: {self.learning}"] if self.learning else []
        return "\n".join(lines)


def diagnose(
    model: nn.Module | Callable[[], nn.Module] | Recorded,
    batch: Any,
    loss_fn: LossFunction | None = None,
    optimizer: Optimizer | None = None,
    steps: int = 5,
    forward: Forward | None = None,
    device: str | torch.device | None = None,
    *,
    checks: Sequence[Check] | None = None,
    ignore: IgnoreSpec = (),
    causal: bool | None = None,
    thorough: bool = False,
    depth_scaled: bool | float | None = None,
    unshard: bool | None = None,
) -> Diagnosis:
    """Judge whether a model starts in a state from which it can learn.

    Takes ``steps`` real optimisation steps on the batch, measures before and after, and puts
    everything back bit for bit: parameters, buffers, gradients, modes, hooks and random streams.

    Args:
        model: any ``nn.Module`` with a trainable parameter; diagnosed in training mode. Or what
            builds it (a class, a lambda): it is called once, and what it writes to parameters and
            buffers is recorded and judged too; see `pytest_initcheck.construction`, the result of
            which may be passed as well.
        batch: ``(inputs, targets)``, a mapping (called as ``model(**batch)``), or inputs alone.
            ``inputs`` may be a tuple (``model(*inputs)``) or a mapping. Of a ``DataLoader`` the
            first batch is taken; docs/what-goes-in.md lists all other forms.
        loss_fn: ``(output, targets) -> scalar``, or the name of one of torch's. Default: the
            output's ``.loss``; the sum of a mapping of losses; cross-entropy for integer targets;
            mean squared error for floating targets of the output's shape. Of a LightningModule it
            is what its ``training_step`` returns.
        optimizer: ``params -> torch.optim.Optimizer``, a class, an optimiser (rebuilt for the
            diagnosis), several of them, or what ``configure_optimizers`` returns. Default: that of
            a LightningModule, else SGD with lr 1e-2.
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
        depth_scaled: whether what writes to the residual streams is scaled by the depth, to σ/√N
            for N additions or blocks; a number is that σ, which else is taken from what reads the
            streams. False: it is not meant to be. Default: what the model's own code says.
        unshard: of a model that several ranks hold, whether each puts all of it, and the batches
            of all, together for the diagnosis (True), or measures its part, to be merged (False).
            Default: together where half of the memory holds six times the weights. See
            docs/distributed.md.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    whole, facts = built(model)
    with joined(whole) as spread:
        validate.check_steps(steps)
        ignores = parse_known(ignore)
        given = adapted(bare(whole, spread), batch, loss_fn, optimizer, forward)
        subject = Subject(
            model=whole,
            batch=given.batch,
            loss_fn=given.loss_fn,
            optimizer=given.optimizer,
            steps=steps,
            forward=given.forward,
            device=device,
            checks=checks,
            ignore=ignores,
            causal=causal,
            thorough=thorough,
            construction=facts,
            depth_scaled=depth_scaled,
            told=given.told,
            left_out=given.left_out,
        )
        return _diagnosed(subject) if spread is None else _by_all(subject, spread, unshard)


def _by_all(subject: Subject, spread: Spread, unshard: bool | None) -> Diagnosis:
    """The diagnosis of a model that several ranks hold; the same on each of them."""
    return _agreed(_diagnosed(of_all(subject, spread, unshard)), spread.ranks)


def _agreed(found: Diagnosis, ranks: Ranks) -> Diagnosis:
    """The diagnosis with what the first rank says, where that is another word than its own."""
    mine = Conclusions(found.run_record(), tuple(found.findings), tuple(found.ignored))
    first = told_by_first(mine, ranks)
    if first is None:
        return found
    record = first.record
    return replace(
        found,
        record=record.before or found.record,
        after=record.after or found.after,
        losses=record.curves["loss"][0],
        findings=list(first.findings),
        ignored=list(first.ignored),
        parts={name: record.shown[name][0] for name in found.parts},
        chance=record.levels.get("loss", {}).get("chance"),
    )


def _holding(
    facts: ConstructionFacts | None, remedies: Sequence[Remedy]
) -> ConstructionFacts | None:
    """What the ledger says of the tensors that the remedies leave alone."""
    of_model = [remedy.names for remedy in remedies if remedy.target == "model"]
    if facts is None or not all(of_model):
        return None
    return facts.without({name for names in of_model for name in names})


def _diagnosed(subject: Subject) -> Diagnosis:
    with validate.thawed(subject.model) as was_frozen:
        evidence = _with_told(gather(subject, is_frozen=was_frozen), subject)
    findings = judge(evidence, [Optimiser()] if was_frozen else subject.checks)
    if subject.construction is not None:
        findings = [with_lines(finding, subject.construction) for finding in findings]
    found = sort_out(findings, subject.ignore)
    return Diagnosis(
        record=evidence.before,
        after=evidence.after,
        findings=found.findings,
        losses=evidence.trajectory.losses,
        subject=subject,
        ignored=found.ignored,
        unused_ignores=found.unused,
        proved=evidence.dependencies,
        learning=evidence.learning,
        parts={
            name: tuple(look.loss_parts.get(name, math.nan) for look in evidence.snapshots)
            for name in evidence.start.loss_parts
        },
        chance=evidence.loss.uninformed,
    )


def _with_told(evidence: Evidence, subject: Subject) -> Evidence:
    """The evidence with what was taken of all that was passed, and what was not."""
    if not subject.told and not subject.left_out:
        return evidence
    left_out = (*subject.left_out, *evidence.loss.left_out)
    before, after = (
        replace(record, meta=record.meta | said(subject.told, left_out, record.meta))
        for record in (evidence.before, evidence.after)
    )
    loss = replace(evidence.loss, left_out=left_out)
    return replace(evidence, loss=loss, before=before, after=after)


def _home(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
