"""Everything that is measured of a start: the model is opened once, asked, and put back."""

from __future__ import annotations

from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.collector import no_full_collections
from pytest_initcheck.capture.composite_calls import switch_off_dropout
from pytest_initcheck.capture.declared_scaling import declared_scaling
from pytest_initcheck.capture.module_anomalies import module_anomalies
from pytest_initcheck.capture.prepare import opened
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.checks.linear_model import linear_layers
from pytest_initcheck.dependence import dependencies
from pytest_initcheck.dependence.turned_loss import unturned
from pytest_initcheck.dependence.value_only import value_only_layers
from pytest_initcheck.diagnosis.observe import observe
from pytest_initcheck.diagnosis.sharpness import sharpness
from pytest_initcheck.diagnosis.sigma_range import sigma_range_of_saturated
from pytest_initcheck.diagnosis.subject import Subject
from pytest_initcheck.distributed.collectives import Concerted
from pytest_initcheck.evidence import Evidence, Observed
from pytest_initcheck.evidence.scaling_line import ScalingLine
from pytest_initcheck.learning.learns import learn
from pytest_initcheck.ledger import odd_buffers
from pytest_initcheck.objective.best_line import best_line
from pytest_initcheck.objective.idle_terms import idle_share
from pytest_initcheck.ranks.dtensors import recovering


def gather(subject: Subject, *, is_frozen: bool = False) -> Evidence:
    """Ask the loss, take the looks and the steps, go back to the start, and ask what they call for.

    ``is_frozen`` says that no parameter was trainable before the diagnosis.

    Raises:
        InitcheckError: wrong use or bad input; the message says what to pass.
    """
    if subject.across is not None:
        return _in_parts(subject, subject.across, is_frozen=is_frozen)
    model, optimizer = subject.model, None if is_frozen else subject.optimizer
    functions = subject.loss_fn, subject.forward
    opening = opened(model, subject.batch, *functions, subject.device)
    with no_full_collections(), opening as program:
        odd, odd_values = module_anomalies(model), odd_buffers(model)
        has_run = program.materialise()
        switch_off_dropout(model)
        # Saved when the model was opened, and only read since.
        with preserved(model, *functions, is_unwritten=not has_run) as start:
            observed = observe(
                program, optimizer, subject.steps, start, anomalies=odd, is_frozen=is_frozen
            )
            learning = None
            if subject.thorough and not is_frozen:
                start.put_back()
                learning = learn(program, optimizer, observed.objective)
        return Evidence.of(
            observed,
            dependencies=dependencies(program, start, causal=subject.causal, observed=observed),
            learning=learning,
            value_only=value_only_layers(program, observed),
            sharpness=sharpness(program, observed),
            sigma_range=sigma_range_of_saturated(program, observed),
            idle_terms=_idle_terms(program, observed),
            unturned=unturned(program) if observed.is_handwritten else (),
            line=best_line(program) if linear_layers(observed) else None,
            construction=subject.construction,
            odd_buffers=odd_values,
            depth_scaled=subject.depth_scaled,
            scaling_lines=_scaling_lines(subject, observed),
            agreement=subject.agreement,
        )


def _in_parts(subject: Subject, across: Across, *, is_frozen: bool) -> Evidence:
    """The looks and the steps alone: what else there is to ask is asked of whole batches."""
    model, functions = subject.model, (subject.loss_fn, subject.forward)
    opening = opened(model, subject.batch, *functions, subject.device)
    with no_full_collections(), Concerted(across.ranks), opening as program:
        odd = module_anomalies(model)
        switch_off_dropout(model)
        with preserved(model, *functions) as start, recovering(model):
            observed = observe(
                program,
                None if is_frozen else subject.optimizer,
                subject.steps,
                start,
                anomalies=odd,
                is_frozen=is_frozen,
                across=across,
            )
        return Evidence.of(observed, construction=subject.construction, agreement=subject.agreement)


def _idle_terms(program: Program, observed: Observed) -> float:
    # A caller's own step may train one network of several.
    is_partial = program.forward is not None and not observed.is_default_optimizer
    return idle_share(program, observed.rates) if is_partial else 0.0


def _scaling_lines(subject: Subject, observed: Observed) -> tuple[ScalingLine, ...]:
    """What the model's code says of its depth; it is asked where several blocks write."""
    if all(len(stream.additions) < 2 for stream in observed.streams):
        return ()
    return declared_scaling(subject.model, subject.construction)
