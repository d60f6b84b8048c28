"""The fixture ``initcheck``: recording, and the assertions that stand on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pytest_initcheck.plugin.scaled import Scaled
from pytest_initcheck.plugin.user_errors import call, quiet

if TYPE_CHECKING:
    from pytest_initcheck.curvature import CriticalPoint
    from pytest_initcheck.diagnosis import Diagnosis
    from pytest_initcheck.evidence.learning import Learning
    from pytest_initcheck.landscape import Escape
    from pytest_initcheck.plugin.over_seeds import OverSeeds
    from pytest_initcheck.records import RunRecord, Verdict
    from pytest_initcheck.sequential import Sequential
    from pytest_initcheck.session.deciding import Decider
    from pytest_initcheck.stepping import StepReport
    from pytest_initcheck.training import Experiment

DRAW_SEED = 0


class Initcheck(Scaled):
    """What a test asks of a model or an experiment; each ``assert_…`` raises InitcheckFailure."""

    @quiet
    def assert_healthy(
        self, model: Any, batch: Any, *args: Any, name: str = "healthy", **options: Any
    ) -> Diagnosis:
        """Fail where the verdict is "fail"; a warning passes and is shown in the report.

        Takes the arguments of `diagnose`, a factory in place of the model as well, raises its
        errors, and returns the diagnosis. All that
        judge a start also take ``expect``, rules whose findings the test expects ("IC101",
        "IC201 encoder.*"): these do not fail it, and it fails where one of them is not found.

        Raises:
            InitcheckFailure: an error was found that is not expected, or none that is.
        """
        __tracebackhide__ = True
        found = self._diagnose(name, model, batch, *args, **options)
        if found.verdict == "fail":
            errors = [f for f in found.findings if f.severity == "error"]
            self._fail(
                errors or found.findings,
                found.findings,
                expect=options.get("expect"),
                diagnosis=found,
            )
        return found

    @quiet
    def assert_symmetry_broken(
        self, model: Any, batch: Any, *args: Any, name: str = "symmetry", **options: Any
    ) -> Diagnosis:
        """Fail where units of a layer stay equal. Takes the arguments of `diagnose`."""
        __tracebackhide__ = True
        return self._assert_aspect("symmetry", name, model, batch, *args, **options)

    @quiet
    def assert_no_dead_layers(
        self,
        model: Any,
        batch: Any,
        *args: Any,
        sigma: float | None = None,
        name: str = "dead layers",
        **options: Any,
    ) -> Diagnosis:
        """Fail where a layer is dead. Takes the arguments of `diagnose`.

        With ``sigma`` the model is judged as if the weights and biases of its linear and
        convolutional layers were drawn from N(0, sigma²), the same every time; it keeps its own.
        """
        __tracebackhide__ = True
        with _drawn(model, sigma) as drawn:
            return self._assert_aspect("dead", name, drawn, batch, *args, **options)

    @quiet
    def assert_no_saturated_layers(
        self,
        model: Any,
        batch: Any,
        *args: Any,
        sigma: float | None = None,
        name: str = "saturated layers",
        **options: Any,
    ) -> Diagnosis:
        """Fail where a layer is saturated. Takes the arguments of `diagnose`, and ``sigma``.

        With ``sigma`` the model is judged as if the weights and biases of its linear and
        convolutional layers were drawn from N(0, sigma²), the same every time; it keeps its own.
        """
        __tracebackhide__ = True
        with _drawn(model, sigma) as drawn:
            return self._assert_aspect("saturation", name, drawn, batch, *args, **options)

    @quiet
    def assert_gradients_flow(
        self, model: Any, batch: Any, *args: Any, name: str = "gradients", **options: Any
    ) -> Diagnosis:
        """Fail where gradients vanish, explode or are not finite, or where weights do not move.

        Takes the arguments of `diagnose`.
        """
        __tracebackhide__ = True
        return self._assert_aspect("gradients", name, model, batch, *args, **options)

    @quiet
    def assert_learns(
        self, model: Any, batch: Any, *args: Any, name: str = "learns", **options: Any
    ) -> Learning:
        """Fail where the model cannot fit its own batch; "undecided" passes, with its reason.

        Takes real steps with the optimiser, then with others, at most 300 in all. Arguments and
        errors are those of `pytest_initcheck.learns`, whose result is returned.

        Raises:
            InitcheckFailure: it does not fit its batch.
        """
        from pytest_initcheck.checks.fits_batch import Fit
        from pytest_initcheck.learning.learns import learns
        from pytest_initcheck.session.failure import health_text

        __tracebackhide__ = True
        found = call(learns, model, batch, *args, **self._placed(options))
        findings = Fit().judge(found)
        self._recorder.add(
            name, "learning", found.run_record(), verdict=found.verdict, findings=findings
        )
        if found.outcome == "fails":
            nodeid, report = self._settings.nodeid, self._settings.report
            self._raise(health_text("fail", findings, findings, nodeid=nodeid, report=report))
        return found

    @quiet
    def assert_escapes(
        self,
        objective: Any,
        start: Any,
        optimizer: Any,
        *,
        steps: int,
        noise: float = 0.0,
        noise_on: Literal["gradient", "loss"] = "gradient",
        reached: Callable[[Any], object],
        seeds: int | Iterable[int] | Sequential = 8,
        probability: float = 0.9,
        backend: str | None = None,
        name: str = "escape",
    ) -> Escape:
        """Fail where the seeds contradict, with 95 % confidence, that enough of them escape.

        ``reached`` is true for the final w of a seed that escaped; ``probability`` is the share in
        [0, 1] that has to. The other arguments are those of `pytest_initcheck.escape`, which says
        what they are and what they raise; with a `pytest_initcheck.Sequential` as ``seeds`` no more
        of them walk once the answer is known. Returns what `escape` returns.

        Raises:
            InitcheckFailure: too few escaped; see `pytest_initcheck.statistics.share_at_least`.
        """
        from pytest_initcheck.plugin.over_seeds import escaped, escapes

        __tracebackhide__ = True
        found, decider = self._walked(
            name,
            escapes(probability),
            objective,
            start,
            optimizer,
            steps,
            noise=noise,
            noise_on=noise_on,
            seeds=seeds,
            reached=reached,
            backend=backend,
        )
        verdict = escaped(found, probability, decider)
        self._judge(name, "escape", found.run_record(), verdict, decider)
        return found

    @quiet
    def assert_reaches(
        self,
        experiment: Experiment,
        *,
        accuracy: float,
        seeds: int | Iterable[int] | Sequential = 8,
        probability: float = 0.9,
        metric: str | None = None,
        name: str = "reaches",
        **options: Any,
    ) -> RunRecord:
        """Fail where the seeds contradict, with 95 % confidence, that enough reach an accuracy.

        ``accuracy`` and ``probability`` (the share of seeds that has to reach it) are in [0, 1].
        ``metric`` is the one to look at, by default "validation accuracy" where the experiment
        has validation data, else "accuracy". Other arguments are those of `pytest_initcheck.run`;
        with a `pytest_initcheck.Sequential` as ``seeds`` no more of them are trained once the
        answer is known. Returns the record of the run.

        Raises:
            InitcheckFailure: too few reached it; see `pytest_initcheck.statistics.share_at_least`.
            InitcheckError: the experiment has no such metric, or an argument is wrong.
        """
        from pytest_initcheck.plugin.over_seeds import Target, check_accuracy, reached

        __tracebackhide__ = True
        check_accuracy(accuracy)
        target = Target(accuracy, probability, metric)
        record, decider = self._trained(name, target.share, experiment, seeds, **options)
        record = replace(record, levels={target.name(record): {"target": accuracy}})
        self._judge(name, "run", record, reached(record, target, decider), decider)
        return record

    @quiet
    def assert_not_stuck(
        self,
        model: Any,
        batch: Any,
        *args: Any,
        loss: float | None = None,
        name: str = "critical point",
        **options: Any,
    ) -> CriticalPoint:
        """Fail where training stands still at a bad place.

        That is a saddle, flat ground, or a minimum whose loss is no better than that of the best
        constant prediction. ``loss`` replaces that bound: at most that much is a good place, and
        more is a bad one wherever the model does not move. The other arguments are those of
        `pytest_initcheck.curvature.critical_point`, whose result is returned.

        Raises:
            InitcheckFailure: the model is stuck.
            InitcheckError: bad input, or a loss or gradient that is not finite.
        """
        from pytest_initcheck.checks.stuck import stuck
        from pytest_initcheck.curvature import critical_point

        __tracebackhide__ = True
        found = call(critical_point, model, batch, *args, **self._placed(options))
        fault = stuck(found, loss)
        faults = [fault] if fault is not None else []
        verdict: Verdict = "fail" if faults else "pass"
        self._recorder.add(
            name, "critical point", found.run_record(), verdict=verdict, findings=faults
        )
        if faults:
            self._fail(faults, faults)
        return found

    @quiet
    def assert_step(
        self,
        train_step: Any,
        model: Any,
        optimizer: Any,
        batch: Any,
        *,
        name: str = "step",
        expect: Any = None,
        **options: Any,
    ) -> StepReport:
        """Fail where your own training step does something wrong, on one batch, over several calls.

        Gradients that are not zeroed, weights that no optimiser holds, a scaler that always
        skips, eval mode, and so on; a warning passes and is shown in the report. Arguments and
        ``options`` are those of `pytest_initcheck.check_step`, which says in which forms a step
        can be passed, and what is put back; ``expect`` is that of `assert_healthy`.

        Raises:
            InitcheckFailure: an error was found.
            InitcheckError: bad input, or the step raised.
        """
        from pytest_initcheck.ignores import parse
        from pytest_initcheck.plugin.expected import Expectation
        from pytest_initcheck.stepping import check_step

        __tracebackhide__ = True
        expectation = Expectation.of(expect)
        options["ignore"] = (*parse(options.get("ignore")), *self._settings.ignores)
        found = self._counted(call(check_step, train_step, model, optimizer, batch, **options))
        self._record(name, "step", found, expectation)
        errors = [finding for finding in found.findings if finding.severity == "error"]
        errors = expectation.unexpected(errors)
        if errors:
            self._fail(errors, found.findings)
        return found

    def _judge(
        self,
        name: str,
        kind: str,
        record: RunRecord,
        verdict: OverSeeds,
        decider: Decider | None,
    ) -> None:
        from pytest_initcheck.session.failure import show_command

        __tracebackhide__ = True
        found = verdict.findings
        self._recorder.add(
            name,
            kind,
            record,
            verdict="fail" if found else "pass",
            findings=found,
            decider=decider,
        )
        if found:
            show = show_command(self._settings.nodeid, self._settings.report)
            self._raise(f"{verdict.text}\n{show}")

    def _assert_aspect(
        self, aspect: str, name: str, model: Any, batch: Any, *args: Any, **options: Any
    ) -> Diagnosis:
        from pytest_initcheck.checks import registered
        from pytest_initcheck.checks.aspects import faults

        __tracebackhide__ = True
        # What a model can learn says nothing about one aspect of its start.
        found = self._diagnose(name, model, batch, *args, **{"thorough": False, **options})
        asked = found.subject.checks if found.subject else None
        told = faults(found.findings, aspect, asked or registered())
        if told:
            self._fail(told, found.findings, expect=options.get("expect"), diagnosis=found)
        return found


@contextlib.contextmanager
def _drawn(model: Any, sigma: float | None) -> Iterator[Any]:
    """Inside, the model's weights are drawn anew; a copy would miss what a closure refers to.

    A factory is called: how it came to the weights that it drew does not matter then.
    """
    if sigma is None:
        yield model
        return
    import torch

    from pytest_initcheck.capture.restore import preserved
    from pytest_initcheck.capture.validate import check_model
    from pytest_initcheck.ledger import built
    from pytest_initcheck.training import draw_normal

    model, _ = built(model)
    check_model(model)
    with preserved(model):
        draw_normal(model, sigma, "all", torch.Generator().manual_seed(DRAW_SEED))
        yield model
