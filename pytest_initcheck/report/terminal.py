"""The terminal's short section, and the table of layers that `initcheck check` prints."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from pytest_initcheck.records import (
    Comparison,
    Entry,
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
MOST_NOTE = 560
INDENT = "      "
MOST_ROWS = 24
NAME_WIDTH = 32
COLUMNS = columns()
COLOURS = {
    **dict.fromkeys(("fail", "error", "unreadable", "changed"), "red"),
    **dict.fromkeys(("warn", "warning", "missing"), "yellow"),
    **dict.fromkeys(("pass", "match"), "green"),
}
COUNTED = re.compile(r"((?:health|baselines):).*")
FOUND = re.compile(r"()(?:error|warning)(?= IC| \S+ \S+, )")
VERDICT = re.compile(rf"(?:\d+ )?(?:{'|'.join(COLOURS)})\b")
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
    width: int | None = None,
) -> list[str]:
    """The section at the end of a pytest run, without its heading.

    One line of counts per axis, how many findings are ignored, the worst findings and baseline
    changes one line each (at most five of each, then "and N more"), the session's notes, the path
    of the report. Empty where no test recorded anything and there is no report. Without a
    ``width``, as in a log, notes are not broken.
    """
    lines: list[str] = []
    is_endless, width = width is None, width or WIDTH
    place = "the report" if report_path is not None else "--initcheck-report=PATH"
    if any(test.entries for test in session.tests):
        lines += _axis(
            "health", summary.in_words(summary.state_counts(session), "not judged"), width
        )
        statuses = summary.in_words(summary.status_counts(session), "not compared")
        bits = summary.bits_in_a_word(session)
        statuses = statuses.replace(" match", f" match ({bits})") if bits else statuses
        lines += _axis("baselines", statuses, width)
        lines += _ignored(session)
        lines += _seeds(session)
        lines += _findings(session, width, place)
        lines += _changes(session, width, place)
    for note in session.notes:
        text = f"note: {summary.shorten(note, MOST_NOTE)}"
        lines += [text] if is_endless else textwrap.wrap(text, width, subsequent_indent=INDENT)
    if report_path is not None:
        lines.append(f"report: {summary.clean(os.fspath(report_path))}")
    return [summary.printable(line) for line in lines]


def _axis(title: str, counts: str, width: int) -> list[str]:
    return textwrap.wrap(f"{title + ':':<10} {counts}", width, subsequent_indent=" " * 11)


def _ignored(session: SessionRecord) -> list[str]:
    count = summary.ignored_count(session)
    return [f"{'ignored:':<10} {count} finding{'s' if count > 1 else ''}"] if count else []


def _seeds(session: SessionRecord) -> list[str]:
    text = seeds_text(session)
    return [f"{'seeds:':<10} {text}"] if text else []


def _findings(session: SessionRecord, width: int, place: str) -> list[str]:
    found = summary.worst_findings(session)
    told = (_with_test(_in_short(f.finding), f.test, width) for f in found[:MOST_LINES])
    lines = [line for both in told for line in both]
    return lines + _more(len(found) - MOST_LINES, "finding", place)


def _changes(session: SessionRecord, width: int, place: str) -> list[str]:
    told = [
        _with_test(f"{entry.name}: {_change(entry.comparison, test, entry)}", test, width)
        for test in session.tests
        for entry in test.entries
        if entry.comparison and entry.comparison.status in ("unreadable", "changed", "missing")
    ]
    lines = [line for both in told[:MOST_LINES] for line in both]
    return lines + _more(len(told) - MOST_LINES, "baseline change", place)


def _in_short(finding: Finding) -> str:
    where = f"layer {finding.layer!r}" if finding.layer else "model"
    head = f"{finding.severity} {finding.id} {finding.check}, {where}"
    if finding.measured is None or finding.limit is None:
        return f"{head}: {finding.numbers}"
    return f"{head}: {finding.measured:.4g}, allowed {finding.allowed} ({finding.quantity})"


def _with_test(text: str, test: TestRecord, width: int) -> list[str]:
    """The text with its test on one line, else with the test on a line of its own."""
    name = summary.shorten(_short_id(test), width - len(INDENT))
    line = f"{summary.shorten(text, 10 * width)} ({name})"
    if len(line) <= width:
        return [line]
    return [summary.shorten(text, width, keep=0.9), f"{INDENT}{name}"]


def _change(comparison: Comparison, test: TestRecord, entry: Entry) -> str:
    text = changed(comparison)
    if comparison.status != "missing":
        return text
    if summary.entry_state(entry) == "fail":
        return f"{text}; fix its health first"
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
    at most ``width`` characters long. Of a deep model those that are far from the ends and from
    what was found are left out, and counted.
    """
    marks = _marks(findings)
    kept = _kept([layer.name in marks for layer in record.layers])
    rows = [_row(record.layers[i], marks.get(record.layers[i].name, "")) for i in kept]
    widths = [max(len(row[i]) for row in (HEADERS, *rows)) for i in range(len(HEADERS))]
    lines = [_line(HEADERS, widths)]
    for i, (place, row) in enumerate(zip(kept, rows, strict=True)):
        left = place - kept[i - 1] - 1 if i else 0
        lines += [f"… {left} more without a finding"] if left else []
        lines.append(_line(row, widths))
    return [summary.printable(line[:width]) for line in lines]


def _kept(flagged: Sequence[bool], most: int = MOST_ROWS) -> list[int]:
    """Which rows of a table to show: all of a few, else the ends and what is near a finding."""
    count = len(flagged)
    if count <= most:
        return list(range(count))
    found = [i for i in range(count) if flagged[i]][: most // 2]
    near = {j for i in found for j in (i - 1, i, i + 1) if 0 <= j < count}
    ends = (j for i in range(count) for j in (i, count - 1 - i))
    for place in ends:
        if len(near) >= most:
            break
        near.add(place)
    return sorted(near)


def known_width() -> int | None:
    """The width of the terminal, or what COLUMNS says; None where nobody knows."""
    columns = shutil.get_terminal_size((0, 0)).columns
    return columns or None


def coloured(line: str) -> Iterator[tuple[str, str]]:
    """The line in parts, each with the colour of its verdict; "" for all that is none."""
    words = COUNTED.match(line) or FOUND.match(line)
    if words is None:
        yield line, ""
        return
    place = 0
    for word in VERDICT.finditer(line, words.end(1), words.end()):
        yield line[place : word.start()], ""
        yield word[0], COLOURS[word[0].split()[-1]]
        place = word.end()
    yield line[place:], ""


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
