"""The package's functions as methods that record and compare what they return."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.plugin.backend import chosen
from pytest_initcheck.plugin.repro import Repro
from pytest_initcheck.plugin.user_errors import bound, call, quiet
from pytest_initcheck.sequential import Sequential
from pytest_initcheck.session.deciding import Deciders

if TYPE_CHECKING:
    from pytest_initcheck.building import Construction
    from pytest_initcheck.diagnosis import Diagnosis
    from pytest_initcheck.landscape import Escape
    from pytest_initcheck.plugin.expected import Expectation
    from pytest_initcheck.records import Comparison, RunRecord
    from pytest_initcheck.session.deciding import Decider, ShareClaim
    from pytest_initcheck.session.recorder import TestRecorder
    from pytest_initcheck.session.settings import Scope
    from pytest_initcheck.stepping import StepReport
    from pytest_initcheck.watching import Watched

_DEVICES = "use 'auto' or 'cpu' (--initcheck-device, the marker's device=, or initcheck_device)"


Judged = TypeVar("Judged")


class Recording:
    """Records for the report and compares with the baseline of the test.

    A comparison that does not hold fails the test when it ends, so that what the test itself
    asserts comes first. ``name`` is what an entry is called in the report and the baseline; it
    defaults to a word for the method, with "-2" and so on where it is taken.
    """

    def __init__(
        self,
        recorder: TestRecorder,
        settings: Scope,
        ask_team: Callable[[], Iterable[Any]] = tuple,
        repro: Repro | None = None,
    ) -> None:
        self._recorder = recorder
        self._settings = settings
        self._ask_team = ask_team
        self._repro = repro or Repro()

    @quiet
    def diagnose(
        self, model: Any, batch: Any, *args: Any, name: str = "diagnosis", **options: Any
    ) -> Diagnosis:
        """`pytest_initcheck.diagnose`, recorded; takes its arguments and raises its errors.

        ``expect`` names the rules whose findings the test expects, such as "IC101" or
        "IC201 encoder.*": the test fails where one of them is not found, and the report shows the
        faults as expected.
        """
        return self._diagnose(name, model, batch, *args, **options)

    def _diagnose(
        self, name: str, model: Any, batch: Any, *args: Any, expect: Any = None, **options: Any
    ) -> Diagnosis:
        from pytest_initcheck.checks.third_party import with_builtin
        from pytest_initcheck.diagnosis import diagnose
        from pytest_initcheck.ignores import parse
        from pytest_initcheck.plugin.expected import Expectation

        __tracebackhide__ = True
        expectation = Expectation.of(expect)
        if options.get("checks") is None:
            options["checks"] = with_builtin(self._ask_team()) or None
        options["ignore"] = (*parse(options.get("ignore")), *self._settings.ignores)
        if options.get("causal") is None:
            options["causal"] = self._settings.causal
        if options.get("thorough") is None:
            options["thorough"] = self._settings.thorough
        found = self._counted(call(diagnose, model, batch, *args, **self._placed(options)))
        self._record(name, "diagnosis", found, expectation)
        return found

    @quiet
    def construction(self, factory: Any, *, name: str = "construction") -> Construction:
        """`pytest_initcheck.construction`, recorded; takes a factory and raises its errors."""
        from pytest_initcheck.building import construction

        __tracebackhide__ = True
        found = call(construction, factory)
        findings = found.findings
        self._recorder.add(
            name, "construction", found.run_record(), verdict=found.verdict, findings=findings
        )
        return found

    def _record(
        self, name: str, kind: str, found: Diagnosis | StepReport, expectation: Expectation
    ) -> None:
        self._recorder.add(
            name,
            kind,
            found.run_record(),
            verdict=found.verdict,
            findings=found.findings,
            ignored=found.ignored,
            expected=expectation.reason(found.findings),
        )
        self._recorder.note_ignores(found.unused_ignores)
        expectation.check(found.findings)

    def _counted(self, judged: Judged) -> Judged:
        """What was found, with what counts of it for this test."""
        selection = self._settings.selection
        return judged if selection is None else selection.applied(judged)

    def _placed(self, options: dict[str, Any]) -> dict[str, Any]:
        if self._settings.device is not None and options.get("device") is None:
            from pytest_initcheck.capture.device import resolve_device

            options["device"] = str(resolve_device(self._settings.device, _DEVICES))
        return options

    @quiet
    def run(self, experiment: Any, *args: Any, name: str = "run", **options: Any) -> RunRecord:
        """`pytest_initcheck.run`, recorded; takes its arguments and raises its errors.

        ``seeds`` may also be a `pytest_initcheck.Sequential`: then no more of them are trained once
        it is clear whether the run is as its baseline.
        """
        return self._run(name, experiment, *args, **options)

    def _run(self, name: str, experiment: Any, *args: Any, **options: Any) -> RunRecord:
        record, decider = self._trained(name, None, experiment, *args, **options)
        self._recorder.add(name, "run", record, decider=decider)
        return record

    def _trained(
        self, name: str, share: ShareClaim | None, *args: Any, **options: Any
    ) -> tuple[RunRecord, Decider | None]:
        from pytest_initcheck.training import run
        from pytest_initcheck.training.runs import run_until

        options = chosen(self._settings.backend, self._placed(options))
        decider = self._decider(name, bound(run, *args, **options), share)
        return run_until(decider, *args, **options), decider

    def _decider(
        self, name: str, given: Mapping[str, Any], share: ShareClaim | None
    ) -> Decider | None:
        """Who says when the seeds of a `Sequential` among these arguments are enough."""
        seeds = given.get("seeds")
        if not isinstance(seeds, Sequential):
            return None
        return self._recorder.decider(name, seeds, share, _kind(given))

    @quiet
    def sweep(self, experiment: Any, *args: Any, name: str = "sweep", **options: Any) -> Any:
        """`pytest_initcheck.sweep`, recorded: one entry, "name: cell", for each run of it.

        ``seeds`` may also be a `pytest_initcheck.Sequential`: then no more of them are trained once
        it is clear of every cell whether it is as its baseline.
        """
        from pytest_initcheck.training import sweep
        from pytest_initcheck.training.sweeps import sweep_until

        options = chosen(self._settings.backend, self._placed(options))
        given = bound(sweep, experiment, *args, **options)
        deciders, seeds = None, given.get("seeds")
        if isinstance(seeds, Sequential):
            kind = _kind(given)
            deciders = Deciders(
                lambda cell: self._recorder.decider(f"{name}: {cell}", seeds, None, kind)
            )
        cells = sweep_until(deciders, experiment, *args, **options)
        for cell, record in cells.items():
            decider = deciders.of(cell) if deciders else None
            self._recorder.add(f"{name}: {cell}", "sweep", record, decider=decider)
        return cells

    @quiet
    def escape(self, *args: Any, name: str = "escape", **options: Any) -> Any:
        """`pytest_initcheck.escape`, recorded; takes its arguments and raises its errors.

        ``seeds`` may also be a `pytest_initcheck.Sequential`, as for `run`.
        """
        return self._escape(name, *args, **options)

    def _escape(self, name: str, *args: Any, **options: Any) -> Any:
        found, decider = self._walked(name, None, *args, **options)
        self._recorder.add(name, "escape", found.run_record(), decider=decider)
        return found

    def _walked(
        self, name: str, share: ShareClaim | None, *args: Any, **options: Any
    ) -> tuple[Escape, Decider | None]:
        from pytest_initcheck.landscape import escape
        from pytest_initcheck.landscape.growing import escape_until

        options = chosen(self._settings.backend, options)
        decider = self._decider(name, bound(escape, *args, **options), share)
        return escape_until(decider, *args, **options), decider

    @contextlib.contextmanager
    def watch(
        self, model: Any, optimizer: Any, every: int = 50, *, name: str = "watch", **options: Any
    ) -> Iterator[Watched]:
        """`pytest_initcheck.watch`, recorded where the context ends, also where it raises.

        Takes its arguments and raises its errors, and where no step was taken inside.
        """
        from pytest_initcheck.watching import watch

        with call(watch, model, optimizer, every, **options) as watched:
            try:
                yield watched
            finally:
                if watched.looks:
                    self._recorder.add(name, "watch", watched.run_record())
        watched.check_seen()

    @quiet
    def compare(
        self,
        name: str,
        record_or_metrics: Any,
        rtol: float | None = None,
        atol: float | None = None,
        variant: str | None = None,
    ) -> Comparison | None:
        """Record anything under ``name`` and hold it against its baseline.

        ``record_or_metrics`` is a record, something with ``run_record()`` (a diagnosis), a number,
        or a mapping from metric to number, to one number per seed, or to one curve per seed.
        ``rtol`` and ``atol`` replace the tolerances of the marker and of the baseline, ``variant``
        the marker's: the environment whose baselines count, such as "cuda".

        Returns what came out of it, None where comparison is off. A difference does not raise
        here: it fails the test when it ends, together with all others.

        Raises:
            InitcheckError: something else was given; the message says what.
        """
        from pytest_initcheck.plugin.metrics import as_record

        if not isinstance(name, str) or not name:
            raise InitcheckError(f"compare: the name must be a text, not {name!r}")
        kind, record = as_record(name, record_or_metrics)
        judged = record_or_metrics if hasattr(record_or_metrics, "findings") else None
        return self._recorder.add(
            name,
            kind,
            record,
            verdict=judged.verdict if judged is not None else None,
            findings=judged.findings if judged is not None else (),
            ignored=getattr(judged, "ignored", ()),
            rtol=rtol,
            atol=atol,
            variant=variant,
        ).comparison

    @quiet
    def picture(self, title: str, figure: Any) -> None:
        """Show a matplotlib figure (or the figure of an Axes) in the report.

        Raises:
            InitcheckError: it is not a figure.
        """
        from pytest_initcheck.plugin.pictures import drawn

        self._recorder.pictures.append(drawn(title, figure))

    @quiet
    def mnist(self, *args: Any, **options: Any) -> Any:
        """`pytest_initcheck.data.load_mnist`: the folder given by option, else the subset."""
        from pytest_initcheck.data import load_mnist

        return call(load_mnist, *args, **options)


def _kind(given: Mapping[str, Any]) -> str:
    """The kind of device that these arguments of a run ask for."""
    from pytest_initcheck.capture.device import resolve_device

    device = given.get("device")
    return resolve_device("cpu" if device is None else device).type
