"""One test on its way through pytest: outcome, message, and the text of its report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_initcheck.errors import InitcheckError, InitcheckFailure
from pytest_initcheck.plugin.expected import CAUGHT, XFAIL
from pytest_initcheck.records import TestRecord
from pytest_initcheck.report import summary
from pytest_initcheck.session.collector import PASSED, to_text
from pytest_initcheck.session.recorder import TestRecorder
from pytest_initcheck.session.settings import Scope

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Baselines

SECTION = "initcheck baseline"
PREFIX = "initcheck."
FAILED = "an update writes what passes, and this test fails by its own assertions"


@dataclass
class TestOutcome:
    """What one test records and how it ends; ``deferred`` is the failure that we raised."""

    recorder: TestRecorder
    reports: dict[str, pytest.TestReport] = field(default_factory=dict)
    message: str = ""
    deferred: InitcheckFailure | None = None
    ended: BaseException | None = None

    @classmethod
    def of(cls, settings: Scope, known: dict[str, Baselines], root: Path) -> TestOutcome:
        """Follow a test; ``known`` keeps the baselines that other tests have read already."""
        baselines = None
        if settings.baselines is not None:
            from pytest_initcheck.baseline import Baselines

            folder = str(settings.baselines)
            baselines = known.setdefault(folder, Baselines(settings.baselines, root))
        return cls(TestRecorder(settings=settings, baselines=baselines))

    def raise_baseline_problem(self) -> None:
        """Fail the test where a record does not fit its baseline."""
        __tracebackhide__ = True
        self.recorder.expect_caught(None, CAUGHT)  # The test has ended well so far.
        text = self.recorder.baseline_problem()
        if text:
            self.deferred = InitcheckFailure(text)
            raise self.deferred

    def set_properties(self, properties: list[tuple[str, object]]) -> None:
        """Verdict, comparison and findings as JUnit properties, in place of those of a rerun."""
        properties[:] = [pair for pair in properties if not pair[0].startswith(PREFIX)]
        test = self._record()
        if not test.entries:
            return
        found = [finding for entry in test.entries for finding in entry.findings]
        ids = dict.fromkeys(finding.id for finding in found if finding.severity != "info")
        properties.append((PREFIX + "verdict", summary.test_verdict(test)))
        properties.append((PREFIX + "comparison", summary.test_status(test)))
        properties.append((PREFIX + "findings", " ".join(ids)))

    def see(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Keep the outcome of a phase; make the text of a failure readable."""
        assert report.when is not None
        self.reports[report.when] = report
        if call.excinfo is not None and self.ended is None:
            self.ended = call.excinfo.value
        if call.excinfo is None or report.outcome != "failed":
            return
        error = call.excinfo.value
        if error is self.deferred:
            _show_text_only(report, call.excinfo)
        elif report.when == "call" and (text := self.recorder.baseline_problem(FAILED)):
            report.sections.append((SECTION, text))
        known = isinstance(error, (InitcheckError, InitcheckFailure))
        if known:
            _shorten_summary(report, str(error))
        self.message = self.message or (str(error) if known else call.excinfo.exconly())

    def text(self) -> str:
        """The test's record, as the string that travels on its last report."""
        duration = sum(report.duration for report in self.reports.values())
        outcome = self._outcome()
        is_expected = outcome == "xfailed"
        self.recorder.expect_caught(
            None if is_expected else self.ended, XFAIL if is_expected else CAUGHT
        )
        obsolete = self.recorder.obsolete() if outcome in PASSED else []
        test = replace(self._record(), outcome=outcome, duration=duration)
        return to_text(test, obsolete, self.recorder.matched)

    def _record(self) -> TestRecord:
        return self.recorder.test_record("passed", 0.0, self.message)

    def _outcome(self) -> str:
        call = self.reports.get("call")
        if call is not None and call.failed:
            return "failed"
        if any(report.failed for report in self.reports.values()):
            return "error"
        last = call or self.reports.get("setup")
        if last is None:
            return "error"
        if hasattr(last, "wasxfail"):
            return "xfailed" if last.skipped else "xpassed"
        return last.outcome


def _show_text_only(
    report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]
) -> None:
    # The failure comes after the test's code, so that every frame would be one of pytest's.
    shown = excinfo.getrepr(style="value", tbfilter=False)
    if shown.reprcrash is not None:
        path, line, _ = report.location
        shown.reprcrash.path, shown.reprcrash.lineno = path, (line or 0) + 1
    report.longrepr = shown


def _shorten_summary(report: pytest.TestReport, text: str) -> None:
    # Pytest's summary cuts at the terminal's width, and would show little but the error's name.
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = text
