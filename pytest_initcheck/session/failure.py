"""The texts of failures: the headline first, then the rest, then what to do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_initcheck.records import Comparison, Finding, Verdict, describe_units

MOST_FINDINGS = 8
MOST_PROBLEMS = 4
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
) -> str:
    """Why an assertion on a model fails.

    ``findings`` are those that the assertion is about (at least one), ``every`` all of the
    diagnosis, which may hold them too. The first line tells the worst one, measured against
    allowed; the others follow, worst first, at most ``MOST_FINDINGS``.
    """
    first, *mine = worst_first(findings)
    others = [*mine, *(f for f in worst_first(every) if f not in findings)]
    told = profile_lines(first)
    told += [f"which leads to: {line}" for line in first.consequences]
    told += [str(finding) for finding in others]
    lines = [f"{verdict}: {headline(first)}", f"cause: {first.cause}"]
    lines += [f"  {line}" for line in told[:MOST_FINDINGS]]
    if len(told) > MOST_FINDINGS:
        lines.append(f"  and {len(told) - MOST_FINDINGS} more, see the report")
    lines += [*remedies([first, *mine]), *code_lines(first)]
    lines.append(show_command(nodeid, report))
    return "\n".join(lines)


def headline(finding: Finding) -> str:
    """Layer, units, measured against allowed, and which rule that is."""
    where = f"layer {finding.layer!r}" if finding.layer else "model"
    units = f", {describe_units(finding.units)}" if finding.units else ""
    return f"{where}{units}: {finding.numbers} [{finding.id} {finding.check}]"


def remedies(findings: Sequence[Finding], most: int = 3) -> list[str]:
    """One line for each different remedy, with its reference."""
    told = dict.fromkeys(
        f"remedy: {finding.remedy}" + (f" ({finding.reference})" if finding.reference else "")
        for finding in findings
        if finding.remedy
    )
    return list(told)[:most]


def profile_lines(finding: Finding) -> list[str]:
    """The finding's quantity from layer to layer, as one line; none where it has no profile."""
    from pytest_initcheck.report.profile import profile_text

    return [f"profile: {profile_text(finding.profile)}"] if len(finding.profile) > 1 else []


def code_lines(finding: Finding, most: int = 12) -> list[str]:
    """The remedy as code, indented, with a heading; none where it is no code."""
    code = finding.remedy_code.splitlines()
    if not code:
        return []
    more = [f"  … and {len(code) - most} lines more, see the report"] if len(code) > most else []
    head = "as code (Diagnosis.try_remedy() runs it on a model that is put back):"
    # The page has the code whole; here the names of fifty layers would bury the rest.
    return [head, *(f"  {_cut(line)}" for line in code[:most]), *more]


def _cut(line: str, most: int = 160) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"


def show_command(nodeid: str, report: Path | None) -> str:
    """Where the pictures are, or the command that draws them."""
    if report is not None:
        return f"report: {report}"
    return f"report: pytest {shlex.quote(nodeid)} --initcheck-report=initcheck.html"


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
