"""The terminal's short section, and the table of layers that `initcheck check` prints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from pytest_initcheck.records import (
    Comparison,
    Finding,
    LayerRecord,
    ModelRecord,
    SessionRecord,
    TestRecord,
)
from pytest_initcheck.report import summary
from pytest_initcheck.report.looks import seeds_text
from pytest_initcheck.report.problems import changed
from pytest_initcheck.report.quantities import columns

MOST_LINES = 5
WIDTH = 140
ID_WIDTH = 30
NAME_WIDTH = 32
COLUMNS = columns()
HEADERS = (
    "layer",
    "kind",
    "nonlinearity",
    *(column.short for column in COLUMNS),
    "",
)


def terminal_lines(
    session: SessionRecord,
    report_path: str | os.PathLike[str] | None = None,
    width: int = WIDTH,
) -> list[str]:
    """The section at the end of a pytest run, without its heading.

    One line of counts per axis, how many findings are ignored, the worst findings and baseline
    changes one line each (at most five of each, then "and N more"), the session's notes, the path
    of the report. Empty where no test recorded anything and there is no report.
    """
    lines: list[str] = []
    place = "the report" if report_path is not None else "--initcheck-report=PATH"
    if any(test.entries for test in session.tests):
        lines += _axis("health", summary.state_counts(session), "not judged")
        (statuses,) = _axis("baselines", summary.status_counts(session), "not compared")
        bits = summary.bits_in_a_word(session)
        lines.append(statuses.replace(" match", f" match ({bits})") if bits else statuses)
        lines += _ignored(session)
        lines += _seeds(session)
        lines += _findings(session, width, place)
        lines += _changes(session, width, place)
    lines += [f"note: {summary.shorten(note, 4 * width)}" for note in session.notes]
    if report_path is not None:
        lines.append(f"report: {summary.clean(os.fspath(report_path))}")
    return [summary.printable(line) for line in lines]


def _axis(title: str, counts: Mapping[str, int], none: str) -> list[str]:
    return [f"{title + ':':<10} {summary.in_words(counts, none)}"]


def _ignored(session: SessionRecord) -> list[str]:
    count = summary.ignored_count(session)
    return [f"{'ignored:':<10} {count} finding{'s' if count > 1 else ''}"] if count else []


def _seeds(session: SessionRecord) -> list[str]:
    text = seeds_text(session)
    return [f"{'seeds:':<10} {text}"] if text else []


def _findings(session: SessionRecord, width: int, place: str) -> list[str]:
    found = summary.worst_findings(session)
    lines = [_beside(_in_short(f.finding), f.test, width) for f in found[:MOST_LINES]]
    return lines + _more(len(found) - MOST_LINES, "finding", place)


def _changes(session: SessionRecord, width: int, place: str) -> list[str]:
    lines = [
        _beside(f"{entry.name}: {_change(entry.comparison, test)}", test, width)
        for test in session.tests
        for entry in test.entries
        if entry.comparison and entry.comparison.status in ("unreadable", "changed", "missing")
    ]
    return lines[:MOST_LINES] + _more(len(lines) - MOST_LINES, "baseline change", place)


def _in_short(finding: Finding) -> str:
    where = f"layer {finding.layer!r}" if finding.layer else "model"
    return f"{finding.severity} {finding.id} {finding.check}: {where}: {finding.numbers}"


def _beside(text: str, test: TestRecord, width: int) -> str:
    # The numbers matter more than the end of a long test name.
    text = summary.shorten(text, width - ID_WIDTH - 3, keep=0.7)
    return f"{text} ({summary.shorten(_short_id(test), width - len(text) - 3)})"


def _change(comparison: Comparison, test: TestRecord) -> str:
    text = changed(comparison)
    if comparison.status != "missing":
        return text
    # An update writes nothing of a test that fails by its own assertions, or is to fail.
    fails = test.outcome not in ("passed", "xpassed")
    is_other = fails and "\ncreate: " not in test.message
    return text if is_other else f"{text}, create it with --initcheck-update"


def _more(count: int, what: str, place: str) -> list[str]:
    if count <= 0:
        return []
    return [f"and {count} more {what}{'s' if count > 1 else ''}, see {place}"]


def _short_id(test: TestRecord) -> str:
    path, _, name = test.nodeid.partition("::")
    return f"{path.rpartition('/')[2]}::{name}" if name else path


def table(record: ModelRecord, findings: Iterable[Finding] = (), width: int = WIDTH) -> list[str]:
    """One line per layer: spread of weights and activations, units lost, gradients, update.

    Shares are of the layer's units; a layer named by a finding carries the finding's id. A line is
    at most ``width`` characters long.
    """
    marks = _marks(findings)
    rows = [HEADERS, *(_row(layer, marks.get(layer.name, "")) for layer in record.layers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADERS))]
    return [summary.printable(_line(row, widths)[:width]) for row in rows]


def _marks(findings: Iterable[Finding]) -> dict[str, str]:
    marks: dict[str, list[str]] = {}
    for finding in findings:
        for name in dict.fromkeys((finding.layer, *finding.layers)):
            known = marks.setdefault(name, [])
            if finding.severity != "info" and finding.id not in known:
                known.append(finding.id)
    return {name: " ".join(ids) for name, ids in marks.items()}


def _row(layer: LayerRecord, mark: str) -> tuple[str, ...]:
    return (
        summary.shorten(layer.name or "(model)", NAME_WIDTH),
        summary.shorten(layer.kind, 20),
        summary.shorten(layer.nonlinearity or "-", 14),
        *(column.cell(layer) for column in COLUMNS),
        mark,
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if i < 3 or i == len(row) - 1 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
