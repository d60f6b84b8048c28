"""What the page shows: the counts and the plain list as values, all else as its script's data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_initcheck.records import Finding, SessionRecord, TestRecord
from pytest_initcheck.report import headline, summary
from pytest_initcheck.report.against import Against
from pytest_initcheck.report.entry_data import entry_data, picture_data
from pytest_initcheck.report.findings_data import address, known_layers, layer_words, others_text
from pytest_initcheck.report.layers import Budget, titles
from pytest_initcheck.report.metrics import overview
from pytest_initcheck.report.panels import Panels
from pytest_initcheck.report.problems import changed, rerun_command
from pytest_initcheck.report.texts import Texts, safe_text

MOST_MESSAGE = 20_000
_LABELS = {
    "state": {"none": "not judged"},
    "comparison": {"none": "not compared"},
}
# Counts that stand on the page even where they are 0.
_KEPT = ("fail", "warn", "pass", "changed", "missing", "match")


@dataclass(frozen=True, kw_only=True)
class Count:
    """One value of one axis: how many tests have it, and the filter that shows them."""

    axis: str
    value: str
    label: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class PlainFinding:
    """A finding in plain text, for who runs no script."""

    id: str
    check: str
    severity: str
    place: str
    numbers: str
    cause: str
    remedy: str
    reference: str
    link: str
    note: str


@dataclass(frozen=True, kw_only=True)
class PlainTest:
    """A test in plain text: its verdicts and findings."""

    name: str
    outcome: str
    state: str
    status: str
    findings: tuple[PlainFinding, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True)
class AxisWords:
    """What the second axis is called, what it asks, and what stands above the cards."""

    title: str = "Baseline"
    question: str = "Do the measurements agree with the stored ones?"
    problems: str = "What to act on"

    @classmethod
    def of(cls, against: Against | None) -> AxisWords:
        """Those of baselines, or of two runs."""
        if against is None:
            return cls()
        question = f"Do the measurements of {against.second} agree with those of {against.first}?"
        return cls(
            safe_text("Side by side"),
            safe_text(question),
            safe_text("What differs, and what fails"),
        )


@dataclass(frozen=True, kw_only=True)
class PageView:
    """The whole page; ``data`` is the JSON that its script reads."""

    headline: str
    aside: str
    is_bad: bool
    is_whole: bool
    outcomes: tuple[Count, ...]
    states: tuple[Count, ...]
    statuses: tuple[Count, ...]
    tests: tuple[PlainTest, ...]
    provenance: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    data: str
    words: AxisWords


@dataclass
class PageState:
    """What the tests of one page share: its texts, how much it may hold, and its panels."""

    budget: Budget
    texts: Texts = field(default_factory=Texts)
    panels: Panels = field(default_factory=Panels.available)
    against: Against | None = None


def page_view(session: SessionRecord, against: Against | None = None) -> PageView:
    """All that the page shows; tests come worst first."""
    tests = session.tests
    ranked = sorted(range(len(tests)), key=lambda i: (_rank(tests[i]), i))
    state = PageState(Budget.of(session), against=against)
    anchors = _anchors(tests)
    data = {
        "tests": [_test(tests[i], i, anchors[i], state) for i in ranked],
        "columns": state.texts.add_all(titles()),
        "width": state.budget.width,
        "texts": state.texts.all,
    }
    if against is not None:
        data["against"] = [safe_text(against.first), safe_text(against.second)]
        data["labels"] = {key: safe_text(label) for key, label in against.labels.items()}
    return PageView(
        headline=safe_text(against.sentence(session) if against else headline.sentence(session)),
        aside=safe_text(headline.aside(session)),
        is_bad=any(map(headline.has_problem, tests)),
        is_whole=bool(tests) and all(test.outcome == "passed" for test in tests),
        outcomes=_counts("outcome", summary.outcome_counts(session)),
        states=_counts("state", summary.state_counts(session)),
        statuses=_counts("comparison", summary.status_counts(session), against),
        tests=tuple(_plain_test(tests[i]) for i in ranked),
        provenance=tuple(session.provenance.items()),
        notes=(*session.notes, *state.panels.notes),
        data=_as_json(data),
        words=AxisWords.of(against),
    )


def _as_json(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Inside of a script element nothing else can end it or start a comment.
    return text.replace("<", "\\u003c")


def _counts(
    axis: str, counts: Mapping[str, int], against: Against | None = None
) -> tuple[Count, ...]:
    total = sum(counts.values()) or 1
    labels = {**_LABELS.get(axis, {}), **(against.labels if against else {})}
    return tuple(
        Count(
            axis=axis,
            value=safe_text(value),
            label=safe_text(labels.get(value, value)),
            count=count,
            share=count / total,
        )
        for value, count in counts.items()
        if count or (value in _KEPT and (against is None or value in labels))
    )


def _anchors(tests: Iterable[TestRecord]) -> list[str]:
    # From the node id, not from the position, so that a shared link survives the next run.
    seen: dict[str, int] = {}
    anchors = []
    for test in tests:
        digest = hashlib.sha256(test.nodeid.encode("utf-8", "backslashreplace")).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        anchors.append(f"test-{digest}" + (f"-{seen[digest]}" if seen[digest] > 1 else ""))
    return anchors


def _rank(test: TestRecord) -> int:
    state = (*summary.STATES, summary.NONE).index(summary.test_state(test))
    status = (*summary.STATUSES, summary.NONE).index(summary.test_status(test))
    calm = 200 if not headline.has_problem(test) else 0 if summary.is_bad(test) else 100
    return calm + state * 10 + status


def _test(test: TestRecord, position: int, anchor: str, state: PageState) -> dict[str, Any]:
    add = state.texts.add
    data: dict[str, Any] = {
        "anchor": anchor,
        "id": add(test.nodeid),
        "outcome": add(test.outcome),
        "state": summary.test_state(test),
        "status": summary.test_status(test),
        "run": position,
        "time": round(test.duration, 3) if 0 <= test.duration < 1e9 else None,
        "rerun": add(rerun_command(test.nodeid)),
        "entries": [
            entry_data(entry, state.texts, state.budget, state.panels, state.against)
            for entry in test.entries
        ],
    }
    if headline.has_problem(test):
        data["problem"] = 1
    if test.message:
        data["message"] = add(_message(test.message))
    if test.pictures:
        data["pictures"] = [picture_data(picture, state.texts) for picture in test.pictures]
    table = overview(test.entries)
    if table is not None:
        columns, rows = table.columns, [row.cells for row in table.rows]
        data["overview"] = [state.texts.add_all(columns), [state.texts.add_all(r) for r in rows]]
    return data


def _message(text: str) -> str:
    text = summary.clean(text).strip("\n")
    if len(text) <= MOST_MESSAGE:
        return text
    return f"{text[:MOST_MESSAGE]}\n… {len(text) - MOST_MESSAGE} more characters are in run.json"


def _plain_test(test: TestRecord) -> PlainTest:
    return PlainTest(
        name=safe_text(test.nodeid),
        outcome=safe_text(test.outcome),
        state=summary.test_state(test),
        status=summary.test_status(test),
        findings=tuple(_plain_findings(test)),
        changes=tuple(_changes(test)),
    )


def _changes(test: TestRecord) -> Iterator[str]:
    for entry in test.entries:
        if headline.baseline_fault(entry) and entry.comparison is not None:
            yield safe_text(f"{entry.name}: {changed(entry.comparison)}")


def _plain_findings(test: TestRecord) -> Iterator[PlainFinding]:
    for entry in test.entries:
        layers = known_layers(entry)
        for finding in (*entry.findings, *entry.ignored):
            why = f"ignored: {finding.ignored}" if finding.ignored else ""
            if entry.expected and not why:
                why = f"expected: {entry.expected}"
            yield _plain_finding(finding, layers, why)


def _plain_finding(finding: Finding, layers: Mapping[str, Any], why: str) -> PlainFinding:
    layer = layers.get(finding.layer)
    words = f" ({' '.join(filter(None, layer_words(layer)))})" if layer else ""
    place = f"layer {finding.layer}{words}" if finding.layer else "the whole model"
    others = others_text(finding)
    return PlainFinding(
        id=safe_text(finding.id),
        check=safe_text(finding.title or finding.check),
        severity=finding.severity,
        place=safe_text(place + (f", also in {others}" if others else "")),
        numbers=safe_text(finding.numbers),
        cause=safe_text(finding.cause),
        remedy=safe_text(finding.remedy),
        reference=safe_text(finding.reference),
        link=address(finding),
        note=safe_text(why),
    )
