"""What one test records, held against its baseline as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import BaselineError
from pytest_initcheck.records import (
    Comparison,
    Entry,
    Finding,
    Picture,
    RunRecord,
    TestRecord,
    Verdict,
)
from pytest_initcheck.session.deciding import Decider, ShareClaim, baseline_question, share_question
from pytest_initcheck.session.failure import BaselineProblem, baseline_text
from pytest_initcheck.session.provenance import device_among, device_of, version
from pytest_initcheck.session.settings import Scope, tolerances_of

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Baselines, Stored
    from pytest_initcheck.ignores import Ignore
    from pytest_initcheck.sequential import Sequential, Stage

WAY_OUT = (
    "an update leaves the file as it is, as other tests are in it: restore it from version "
    "control, or delete it if all of them are to be recorded anew"
)
XFAIL = "an update writes what passes, and this test is marked xfail"
# An ignore of a marker or the ini file: where it stands, and its text.
Placed = tuple[str, str]


@dataclass(kw_only=True)
class TestRecorder:
    """The entries and pictures of one test, and which of them left their baseline."""

    settings: Scope
    baselines: Baselines | None = None
    entries: list[Entry] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    problems: list[BaselineProblem] = field(default_factory=list)
    matched: dict[Placed, bool] = field(default_factory=dict)
    raised: dict[str, Exception] = field(default_factory=dict)

    def add(
        self,
        name: str,
        kind: str,
        record: RunRecord,
        *,
        verdict: Verdict | None = None,
        findings: Sequence[Finding] = (),
        ignored: Sequence[Finding] = (),
        rtol: float | None = None,
        atol: float | None = None,
        variant: str | None = None,
        decider: Decider | None = None,
        expected: str = "",
    ) -> Entry:
        """Record one thing under ``name`` ("name-2" where that is taken) and compare it.

        A baseline that is missing, has changed or cannot be read is kept in ``problems``: what
        the test itself asserts comes first. ``decider`` is who said when seeds were enough.
        """
        entry = Entry(
            name=self._unused(name),
            kind=kind,
            record=record,
            verdict=verdict,
            findings=tuple(findings),
            ignored=tuple(ignored),
            looks=tuple(decider.looks) if decider else (),
            expected=expected,
        )
        if self.baselines is not None:
            given = {"rtol": rtol, "atol": atol, "variant": variant}
            known: dict[str, Any] = {key: own for key, own in given.items() if own is not None}
            stage = decider.stage_at(len(record.seeds)) if decider else None
            entry = self._compared(entry, self.settings._replace(**known), stage)
        self.entries.append(entry)
        return entry

    def decider(
        self, name: str, design: Sequential, share: ShareClaim | None = None, device: str = ""
    ) -> Decider:
        """Who says whether a run under ``name``, on that kind of device, needs more seeds.

        All are taken where the baseline is to be written, or compared by given tolerances, which
        no number of seeds has error rates for.
        """
        shares = (share_question(design, share),) if share else ()
        if self.settings.update == "all":
            return Decider()
        if self.baselines is None:
            return Decider(shares)
        stored = self._stored(self._unused(name), device)
        if stored is None or self._has_tolerance:
            return Decider()
        found = baseline_question(stored, design, self.settings.least)
        return Decider((*found.questions, *shares), found.stage_at) if found else Decider()

    def _stored(self, name: str, device: str) -> Stored | None:
        assert self.baselines is not None
        from pytest_initcheck.baseline import Environment

        here = Environment.of(RunRecord(), {**_here(), "device": device})
        try:
            return self.baselines.stored(self.settings.nodeid, name, here)
        except BaselineError:
            return None

    @property
    def _has_tolerance(self) -> bool:
        settings = self.settings
        given = (settings.rtol, settings.atol)
        return settings.exact or bool(settings.tolerance) or given != (None, None)

    def note_raised(self, error: Exception) -> None:
        """Remember that the last entry raised this failure, which the test may catch."""
        self.raised[self.entries[-1].name] = error

    def expect_caught(self, ended: BaseException | None, reason: str) -> None:
        """Mark the entries whose failures did not end the test as expected, for that reason."""
        chain: list[BaseException] = []
        while ended is not None and ended not in chain:
            chain.append(ended)
            ended = ended.__cause__ or ended.__context__
        caught = {name for name, error in self.raised.items() if error not in chain}
        self.entries = [
            replace(entry, expected=entry.expected or reason) if entry.name in caught else entry
            for entry in self.entries
        ]
        # What is expected may be stored.
        self.problems = [
            replace(problem, blocked="") if problem.name in caught else problem
            for problem in self.problems
        ]

    def note_ignores(self, unused: Sequence[Ignore]) -> None:
        """Remember which ignores of markers and ini file a diagnosis of this test has matched."""
        for ignore in self.settings.ignores:
            placed = (ignore.origin, str(ignore))
            self.matched[placed] = self.matched.get(placed, False) or ignore not in unused

    def _unused(self, name: str) -> str:
        taken = {entry.name for entry in self.entries}
        number, candidate = 1, name
        while candidate in taken:
            number += 1
            candidate = f"{name}-{number}"
        return candidate

    def _compared(self, entry: Entry, scope: Scope, stage: Stage | None) -> Entry:
        from pytest_initcheck.baseline.admission import refusal
        from pytest_initcheck.report.looks import path_text

        fault = ""
        try:
            comparison = self._comparison(entry, scope, stage)
        except BaselineError as error:
            fault = f"unreadable: {error}\n{WAY_OUT}"
            comparison = Comparison(status="unreadable", notes=(str(error),))
        if entry.looks and comparison.status == "changed":
            notes = (path_text(entry.looks), *comparison.notes)
            comparison = replace(comparison, notes=notes)
        if self.settings.update and comparison.status == "missing":
            comparison = replace(comparison, status="new")
        elif self.settings.update != "all" and comparison.status != "match":
            blocked = refusal(entry, self.settings.allow_unhealthy)
            self.problems.append(BaselineProblem(entry.name, comparison, fault, blocked))
        return replace(entry, comparison=comparison)

    def _comparison(self, entry: Entry, scope: Scope, stage: Stage | None) -> Comparison:
        assert self.baselines is not None
        return self.baselines.compare(
            scope.nodeid,
            entry.name,
            entry.record,
            rtol=scope.rtol,
            atol=scope.atol,
            exact=scope.exact,
            **tolerances_of(scope),
            device=device_of(entry),
            provenance=_here(),
            variant=scope.variant,
            stage=stage,
        )

    def obsolete(self) -> list[str]:
        """The entries that the test's baseline has and the test did not record."""
        if self.baselines is None:
            return []
        mine = {entry.name for entry in self.entries}
        device = device_among(self.entries)
        try:
            known = self.baselines.entries(self.settings.nodeid, device)
            return [name for name in known if name not in mine]
        except BaselineError:
            return []

    def baseline_problem(self, blocked: str = "") -> str:
        """What to tell about the baselines when the test has ended; empty where all fit.

        ``blocked`` is why an update would write nothing of this test.
        """
        blocked = blocked or (XFAIL if self.settings.expects_failure else "")
        return baseline_text(self.problems, self.settings.nodeid, blocked)

    def test_record(self, outcome: str, duration: float, message: str) -> TestRecord:
        """All of it, once the outcome of the test is known."""
        return TestRecord(
            nodeid=self.settings.nodeid,
            outcome=outcome,
            duration=duration,
            message=message,
            entries=tuple(self.entries),
            pictures=tuple(self.pictures),
        )


def _here() -> dict[str, str]:
    return {"torch": version("torch")}
