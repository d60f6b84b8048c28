"""The one process that collects what the tests sent, writes, and tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_initcheck.plugin.collection import Collection

if TYPE_CHECKING:
    from pytest_initcheck.session.collector import Session
    from pytest_initcheck.session.settings import Settings

REPORT_ATTRIBUTE = "initcheck"


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


class Controller:
    """Collects the strings on the tests' reports; touches files when the session ends."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.session: Session | None = None
        self.written: Path | None = None
        self.crashes: list[pytest.TestReport] = []
        self.notes: list[str] = []
        self.annotations: list[str] = []
        self.collection = Collection()
        config.pluginmanager.register(self.collection, "initcheck-collection")

    def _collect(self) -> Session:
        from pytest_initcheck.session.collector import Session

        if self.session is None:
            self.session = Session(settings=self.settings)
        return self.session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the string off a test's last report; remember a test that took its worker down."""
        text = getattr(report, REPORT_ATTRIBUTE, None)
        if text is not None:
            from pytest_initcheck.session.collector import from_text

            path, line, name = report.location
            sent = from_text(text)
            place = (path, line or 0, name)
            self._collect().add(sent.test, place, sent.obsolete, sent.ignores)
        elif report.when not in ("setup", "call", "teardown"):
            self.crashes.append(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note a worker that died."""
        if error:
            self.notes.append(f"worker {node.gateway.id} went down: {error}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write baselines, report and run.json, then fail the run if one could not be written."""
        ci = self.settings.ci
        asked = any(path is not None for path in (self.settings.report, ci.summary, ci.sarif))
        wanted = asked and not self.config.option.collectonly
        if session.exitstatus == pytest.ExitCode.USAGE_ERROR or not (self.session or wanted):
            return
        from pytest_initcheck.ranks.writer import is_writer, rank_here

        collected = self._collect()
        self._add_crashes(collected)
        if not is_writer():
            collected.notes.append(f"rank {rank_here()} writes nothing; rank 0 does")
            return
        if self.settings.update:
            collected.update_baselines()
        if self.settings.update != "all":
            collected.note_obsolete()
        collected.note_orphans(self.collection.every_test(self.config))
        collected.note_elsewhere()
        collected.note_unused_ignores()
        if self.settings.report is not None:
            self.written = collected.write_report(self.settings.report)
        self._leave_for_ci(collected)
        self._keep_for_commands(collected)
        if collected.faults and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _leave_for_ci(self, collected: Session) -> None:
        from pytest_initcheck.session import ci

        ci.leave(collected, self.written)
        self.annotations = ci.annotation_lines(collected)

    def _add_crashes(self, collected: Session) -> None:
        from pytest_initcheck.records import TestRecord

        for report in self.crashes:
            message = str(report.longrepr)
            collected.add(TestRecord(nodeid=report.nodeid, outcome="crashed", message=message))
        collected.notes.extend(self.notes)

    def _keep_for_commands(self, collected: Session) -> None:
        # The commands (diff, accept) work on the last run also when no report was asked for.
        if self.settings.last_run is not None and collected.tests:
            collected.keep(self.settings.last_run)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The plugin's section; nothing where no test used it."""
        if self.session is None:
            return
        from pytest_initcheck.report.terminal import coloured, known_width, terminal_lines

        lines = terminal_lines(self.session.record(), self.written, known_width())
        if lines or self.session.faults:
            terminalreporter.section("initcheck")
        for line in lines:
            for part, colour in coloured(line):
                terminalreporter.write(part, **({colour: True} if colour else {}))
            terminalreporter.line("")
        for fault in self.session.faults:
            terminalreporter.write_line(f"ERROR: {fault}", red=True)
        for line in self.annotations:
            terminalreporter.write_line(line)
