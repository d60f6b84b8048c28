"""What the page shows, as plain data: built from a session, drawn by the template."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_initcheck.records import (
    RANK,
    Comparison,
    Difference,
    Entry,
    Finding,
    Picture,
    SessionRecord,
    TestRecord,
    describe_units,
)
from pytest_initcheck.report import summary
from pytest_initcheck.report.curves import CurveView, curve_views, depth_views, series_of
from pytest_initcheck.report.layers import Budget, LayersView, layers_view
from pytest_initcheck.report.looks import look_views, path_text
from pytest_initcheck.report.metrics import MetricRow, OverviewView, metric_rows, overview
from pytest_initcheck.report.panels import Panels, PanelView
from pytest_initcheck.report.panels.panel import svg_source

MOST_WORST = 8
MOST_DIFFERENCES = 40
MOST_FINDINGS = 60
MOST_MESSAGE = 20_000
_ADDRESS = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True, kw_only=True)
class Count:
    """One value of one axis: how many tests have it, and the filter that shows them."""

    axis: str
    value: str
    label: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class FindingView:
    """One finding, in words."""

    id: str
    check: str
    severity: str
    layer: str
    units: str
    numbers: str
    cause: str
    remedy: str
    reference: str
    link: str
    others: str
    ignored: str
    leads: tuple[str, ...]
    profile: dict[str, float]
    limit: float | None
    code: str


@dataclass(frozen=True)
class WorstView:
    """One line of the summary's list, with a link to its test."""

    finding: FindingView
    test: str
    anchor: str
    expected: bool


@dataclass(frozen=True, kw_only=True)
class ComparisonView:
    """An entry against its baseline."""

    status: str
    headline: str
    differences: tuple[Difference, ...]
    more: int
    notes: tuple[str, ...]
    file: str
    provenance: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PictureView:
    """A picture as the source of an ``img``, where its scripts cannot run; "" if it is broken."""

    title: str
    source: str


@dataclass(frozen=True, kw_only=True)
class EntryView:
    """One recorded thing of a test."""

    name: str
    kind: str
    anchor: str
    verdict: str
    status: str
    findings: tuple[FindingView, ...]
    more_findings: int
    ignored: tuple[FindingView, ...]
    more_ignored: int
    comparison: ComparisonView | None
    path: str
    looks: tuple[CurveView, ...]
    curves: tuple[CurveView, ...]
    metrics: tuple[MetricRow, ...]
    layers: LayersView | None
    depth: tuple[CurveView, ...]
    panels: tuple[PanelView, ...]
    open: bool

    @property
    def curve_series(self) -> tuple[str, ...]:
        """The series that the legend of the curves names."""
        return series_of(self.curves)

    @property
    def look_series(self) -> tuple[str, ...]:
        """The series that the legend of the looks names."""
        return series_of(self.looks)


@dataclass(frozen=True, kw_only=True)
class TestView:
    """One test, closed until it is opened."""

    anchor: str
    file: str
    name: str
    outcome: str
    verdict: str
    status: str
    duration: float
    rank: int
    position: int
    findings: int
    ignored: int
    message: str
    entries: tuple[EntryView, ...]
    overview: OverviewView | None
    pictures: tuple[PictureView, ...]
    search: str


@dataclass(frozen=True, kw_only=True)
class PageView:
    """The whole page."""

    headline: str
    outcomes: tuple[Count, ...]
    verdicts: tuple[Count, ...]
    statuses: tuple[Count, ...]
    worst: tuple[WorstView, ...]
    more_worst: int
    tests: tuple[TestView, ...]
    provenance: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


@dataclass
class PageState:
    """What the tests of one page share: how much it may still hold, and its panels."""

    budget: Budget = field(default_factory=Budget)
    panels: Panels = field(default_factory=Panels.available)


def page_view(session: SessionRecord) -> PageView:
    """All that the page shows; tests come worst first."""
    anchors = _anchors(session.tests)
    state = PageState()
    ranked = sorted(range(len(session.tests)), key=lambda i: (_rank(session.tests[i]), i))
    tests = tuple(_test(session.tests[i], i, anchors[i], state) for i in ranked)
    found = summary.worst_findings(session)
    by_test = {id(test): anchor for test, anchor in zip(session.tests, anchors, strict=True)}
    return PageView(
        headline=_headline(session),
        outcomes=_counts("outcome", summary.outcome_counts(session), {}),
        verdicts=_counts("verdict", summary.state_counts(session), {"none": "not judged"}),
        statuses=_counts("comparison", summary.status_counts(session), {"none": "not compared"}),
        worst=tuple(_worst(f, by_test[id(f.test)]) for f in found[:MOST_WORST]),
        more_worst=max(len(found) - MOST_WORST, 0),
        tests=tests,
        provenance=tuple(session.provenance.items()),
        notes=(*session.notes, *state.panels.notes),
    )


def _headline(session: SessionRecord) -> str:
    if not session.tests:
        return "No test recorded anything"
    counts = summary.outcome_counts(session)
    n = len(session.tests)
    words = ", ".join(f"{count} {key}" for key, count in counts.items())
    return f"{n} test{'s' if n != 1 else ''}: {words}"


def _counts(axis: str, counts: Mapping[str, int], labels: Mapping[str, str]) -> tuple[Count, ...]:
    total = sum(counts.values()) or 1
    kept = ("fail", "warn", "pass", "changed", "missing", "new", "match")
    return tuple(
        Count(
            axis=axis, value=value, label=labels.get(value, value), count=count, share=count / total
        )
        for value, count in counts.items()
        if count or value in kept
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
    verdict = (*summary.VERDICTS, summary.NONE).index(summary.test_verdict(test))
    status = (*summary.STATUSES, summary.NONE).index(summary.test_status(test))
    return (0 if summary.is_bad(test) else 100) + verdict * 10 + status


def _worst(located: summary.Located, anchor: str) -> WorstView:
    view = finding_view(located.finding)
    return WorstView(view, located.test.nodeid, anchor, not summary.is_bad(located.test))


def _test(test: TestRecord, position: int, anchor: str, state: PageState) -> TestView:
    file, _, name = test.nodeid.partition("::")
    alone = len(test.entries) == 1
    entries = tuple(
        _entry(entry, f"{anchor}-e{i}", alone, state) for i, entry in enumerate(test.entries)
    )
    words = [test.nodeid, test.outcome]
    for entry in entries:
        words += [entry.name, entry.kind]
        words += [f"{f.id} {f.check} {f.layer}" for f in (*entry.findings, *entry.ignored)]
    return TestView(
        anchor=anchor,
        file=file if name else "",
        name=name or file,
        outcome=test.outcome,
        verdict=summary.test_verdict(test),
        status=summary.test_status(test),
        duration=test.duration,
        rank=_rank(test),
        position=position,
        findings=sum(len(entry.findings) for entry in test.entries),
        ignored=sum(len(entry.ignored) for entry in test.entries),
        message=_message(test.message),
        entries=entries,
        overview=overview(test.entries),
        pictures=tuple(_picture(picture) for picture in test.pictures),
        search=" ".join(dict.fromkeys(words)).casefold()[:2000],
    )


def _message(text: str) -> str:
    text = summary.clean(text).strip("\n")
    if len(text) <= MOST_MESSAGE:
        return text
    return f"{text[:MOST_MESSAGE]}\n… {len(text) - MOST_MESSAGE} more characters are in run.json"


def _entry(entry: Entry, anchor: str, alone: bool, state: PageState) -> EntryView:
    record, comparison = entry.record, entry.comparison
    expected = comparison.expected if comparison else None
    findings = sorted(entry.findings, key=lambda f: RANK[f.severity])
    status = comparison.status if comparison else summary.NONE
    return EntryView(
        name=entry.name,
        kind=entry.kind,
        anchor=anchor,
        verdict=entry.verdict or summary.NONE,
        status=status,
        findings=tuple(finding_view(finding) for finding in findings[:MOST_FINDINGS]),
        more_findings=max(len(findings) - MOST_FINDINGS, 0),
        ignored=tuple(finding_view(finding) for finding in entry.ignored[:MOST_FINDINGS]),
        more_ignored=max(len(entry.ignored) - MOST_FINDINGS, 0),
        comparison=_comparison(comparison) if comparison else None,
        path=path_text(entry.looks),
        looks=look_views(entry.looks),
        curves=curve_views(record, expected, entry.kind),
        metrics=metric_rows(record, expected),
        layers=layers_view(record, expected, entry.findings, state.budget),
        depth=depth_views(record, expected),
        panels=state.panels.of(entry),
        open=alone or status == "changed" or entry.verdict == "fail",
    )


def finding_view(finding: Finding) -> FindingView:
    """The finding in words; only a web address becomes a link."""
    others = [name for name in finding.layers if name != finding.layer]
    shown = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
    address = _ADDRESS.search(finding.reference)
    return FindingView(
        id=finding.id,
        check=finding.check,
        severity=finding.severity,
        layer=finding.layer,
        units=describe_units(finding.units) if finding.units else "",
        numbers=finding.numbers,
        cause=finding.cause,
        remedy=finding.remedy,
        reference=finding.reference,
        link=address[0] if address else "",
        others=shown,
        ignored=finding.ignored,
        leads=finding.consequences,
        profile=finding.profile,
        limit=finding.limit,
        code=finding.remedy_code,
    )


_HEADLINES = {
    "match": "All {n} compared values lie within their tolerance.",
    "changed": "{bad} of {n} compared values left their tolerance, worst first.",
    "missing": "No stored baseline{place}; --initcheck-update creates it once the test passes.",
    "new": "The baseline was written in this run.",
    "unreadable": "The stored baseline cannot be read, and is left as it is.",
    "obsolete": "The stored baseline has no test any more.",
}


_BITS: dict[tuple[str, bool | None], str] = {
    ("match", True): " They are equal bit for bit, in the same environment.",
    ("match", False): " Not all are equal bit for bit, in the same environment.",
}


def _comparison(comparison: Comparison) -> ComparisonView:
    bad = len(comparison.differences)
    place = f" in {comparison.file}" if comparison.file else ""
    headline = _HEADLINES[comparison.status].format(
        n=max(comparison.compared, bad), bad=bad, place=place
    )
    headline += _BITS.get((comparison.status, comparison.bit_identical), "")
    return ComparisonView(
        status=comparison.status,
        headline=headline,
        differences=comparison.differences[:MOST_DIFFERENCES],
        more=max(bad - MOST_DIFFERENCES, 0),
        notes=comparison.notes,
        file=comparison.file,
        provenance=tuple(comparison.provenance.items()),
    )


def _picture(picture: Picture) -> PictureView:
    data = picture.data
    if picture.media == "image/svg+xml":
        return PictureView(picture.title, svg_source(data))
    if not _is_base64(data):
        return PictureView(picture.title, "")
    return PictureView(picture.title, f"data:{picture.media};base64,{data}")


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False
