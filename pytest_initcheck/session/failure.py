"""The texts of failures: the headline first, then the rest, then what to do."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pytest_initcheck.records import Comparison, Finding, Verdict, describe_units

MOST_FINDINGS = 8
MOST_PROBLEMS = 4
MOST_OTHERS = 6
_REMEDIES = 3
_CODE_LINES = 12
LABELS = 10
# What pytest puts before each line of a failure.
_BESIDE = 9
_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class BaselineProblem:
    """A record that does not fit its baseline; ``fault`` where that could not be read, ``blocked``
    why an update would not write it."""

    name: str
    comparison: Comparison
    fault: str = ""
    blocked: str = ""


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Errors, then warnings, then infos, each in the order found."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def health_text(
    verdict: Verdict,
    findings: Sequence[Finding],
    every: Sequence[Finding],
    *,
    nodeid: str,
    report: Path | None = None,
    width: int | None = None,
) -> str:
    """Why an assertion on a model fails.

    ``findings`` are those that the assertion is about (at least one), ``every`` all of the
    diagnosis, which may hold them too. The first line tells the worst one, so that pytest's
    summary keeps rule, layer, measured and allowed; the lines after it are wrapped to ``width``
    (default: that of the terminal). The other findings follow, worst first, at most
    ``MOST_FINDINGS`` of them.
    """
    from pytest_initcheck.report.terminal import WIDTH, known_width

    first, *mine = worst_first(findings)
    others = [*mine, *(f for f in worst_first(every) if f not in findings)]
    told = [f"leads to {line}" for line in first.consequences] + [str(one) for one in others]
    if len(told) > MOST_FINDINGS:
        told[MOST_FINDINGS:] = [f"and {len(told) - MOST_FINDINGS} more, see the report"]
    rows = [*_measured(first), ("cause", first.cause), *_fixes([first, *mine])]
    rows += [("more", line) for line in told]
    width = width or (known_width() or WIDTH) - _BESIDE
    lines = [line for row in rows for line in _wrapped(*row, width)]
    head = f"{verdict}: {headline(first)}"
    code = code_lines(first, width=width)
    return "\n".join([head, *lines, *code, show_command(nodeid, report)])


def _measured(finding: Finding) -> Iterator[tuple[str, str]]:
    """What was measured, what is allowed, where, and how it runs along the depth."""
    if finding.measured is None:
        yield "measured", finding.quantity
    else:
        yield "measured", f"{finding.quantity} {finding.measured:.4g}"
    if finding.measured is not None and finding.limit is not None:
        yield "allowed", finding.allowed
    others = [repr(name) for name in finding.layers if name != finding.layer]
    where = f"layer {finding.layer!r}" if finding.layer else "the model as a whole"
    where += f", {describe_units(finding.units)}" if finding.units else ""
    more = f" and {len(others) - MOST_OTHERS} more" if len(others) > MOST_OTHERS else ""
    yield "where", where + (f"; also {', '.join(others[:MOST_OTHERS])}{more}" if others else "")
    if finding.written:
        yield "written", finding.written
    yield from (("profile", line.partition(": ")[2]) for line in profile_lines(finding))


def _fixes(findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """What to do about the first few, and who says so."""
    yield from (("fix", text) for text in list(dict.fromkeys(_told(findings, "remedy")))[:3])
    yield from (("source", text) for text in list(dict.fromkeys(_told(findings, "reference")))[:3])


def _told(findings: Sequence[Finding], field: str) -> Iterator[str]:
    yield from filter(None, (getattr(finding, field) for finding in findings))


def _wrapped(label: str, text: str, width: int) -> list[str]:
    """The text beside its label, in a column of its own; what cannot be broken stays whole."""
    room = max(width - LABELS, 24)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{name:<{LABELS}}{line}" for name, line in zip_longest([label], lines, fillvalue="")]


def headline(finding: Finding) -> str:
    """Rule, layer, measured against allowed: what a summary of one line has to keep."""
    where = f"layer {finding.layer!r}" if finding.layer else "model"
    where += f", {describe_units(finding.units, 3)}" if finding.units else ""
    numbers = finding.numbers
    if finding.measured is not None and finding.limit is not None:
        numbers = f"{finding.measured:.4g}, allowed {finding.allowed}"
    return f"{finding.id} {finding.check}, {where}: {numbers}"


def remedies(findings: Sequence[Finding]) -> list[str]:
    """One line for each of the first three different remedies, with its reference."""
    told = dict.fromkeys(
        f"fix: {finding.remedy}" + (f" ({finding.reference})" if finding.reference else "")
        for finding in findings
        if finding.remedy
    )
    return list(told)[:_REMEDIES]


def profile_lines(finding: Finding) -> list[str]:
    """The finding's quantity from layer to layer, as one line; none where it has no profile."""
    from pytest_initcheck.report.profile import profile_text, sparkline

    if len(finding.profile) < 2:
        return []
    return [f"profile: {sparkline(list(finding.profile.values()))} {profile_text(finding.profile)}"]


def code_lines(finding: Finding, width: int = 162) -> list[str]:
    """The remedy as code, indented, with a heading; none where it is no code."""
    code = finding.remedy_code.splitlines()
    if not code:
        return []
    rest = len(code) - _CODE_LINES
    more = [f"  … and {rest} lines more, see the report"] if rest > 0 else []
    head = "as code (Diagnosis.try_remedy() runs it on a model that is put back):"
    # The page has the code whole; here the names of fifty layers would bury the rest.
    return [head, *(f"  {_cut(line, width - 2)}" for line in code[:_CODE_LINES]), *more]


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"


def show_command(nodeid: str, report: Path | None) -> str:
    """Where the pictures are, or the command that draws them."""
    if report is not None:
        return f"report: {_near(report)}"
    return f"report: pytest {shlex.quote(nodeid)} --initcheck-report=initcheck.html"


def _near(report: Path) -> Path:
    """The path from where pytest was started, which says nothing of the machine."""
    here = Path.cwd()
    return report.relative_to(here) if report.is_relative_to(here) else report


def baseline_text(problems: Sequence[BaselineProblem], nodeid: str, blocked: str = "") -> str:
    """Which records do not fit their baseline: unreadable, changed, missing; then what to do.

    ``blocked`` is why an update would write none of them, where that is known.
    """
    faults = list(dict.fromkeys(p.fault for p in problems if p.fault))
    known = [p for p in problems if not p.fault]
    missing = [p for p in known if p.comparison.status == "missing"]
    changed = [p for p in known if p.comparison.status != "missing"]
    told = [*_changed(changed, nodeid, blocked), *_missing(missing, nodeid, blocked)]
    return "\n\n".join([*faults, *told])


def _changed(problems: Sequence[BaselineProblem], nodeid: str, blocked: str) -> list[str]:
    from pytest_initcheck.baseline import format_comparison

    shown = problems[:MOST_PROBLEMS]
    texts = [format_comparison(p.comparison, p.name, nodeid, p.blocked or blocked) for p in shown]
    if len(problems) > MOST_PROBLEMS:
        texts.append(f"and {len(problems) - MOST_PROBLEMS} more records, see the report")
    return texts


def _missing(problems: Sequence[BaselineProblem], nodeid: str, blocked: str) -> list[str]:
    from pytest_initcheck.baseline.describe import missing

    texts = []
    for why in dict.fromkeys(p.blocked or blocked for p in problems):
        same = [p for p in problems if (p.blocked or blocked) == why]
        lines = missing([p.name for p in same], same[0].comparison, nodeid, why)
        texts.append("\n".join(lines))
    return texts
