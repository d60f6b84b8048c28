"""A session as SARIF 2.1.0, which code scanning of several hosts reads.

OASIS: Static Analysis Results Interchange Format (SARIF) Version 2.1.0 Plus Errata 01 (2023).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, Protocol
from urllib.parse import quote

from pytest_initcheck.records import SessionRecord, Severity
from pytest_initcheck.report import summary
from pytest_initcheck.report.problems import (
    BASELINE_RULES,
    LEVELS,
    Place,
    Places,
    Problem,
    problems,
)

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ROOT = "%SRCROOT%"


class RuleText(Protocol):
    """What is told of a rule."""

    @property
    def id(self) -> str:
        """As findings have it."""
        ...

    @property
    def title(self) -> str:
        """A few words."""
        ...

    @property
    def cause(self) -> str:
        """A sentence."""
        ...

    @property
    def limit(self) -> str:
        """What is allowed."""
        ...

    @property
    def remedy(self) -> str:
        """What to do."""
        ...

    @property
    def severities(self) -> Sequence[Severity]:
        """What its findings can be, the usual first."""
        ...


def sarif(
    session: SessionRecord, places: Places, rules: Iterable[RuleText], documentation: str = ""
) -> str:
    """The log as JSON text: the rules that were found, and a result for each problem.

    ``documentation`` is the address below which the pages of ``docs/`` are; the rules name no
    page where there is none.
    """
    found = problems(session)
    known = {rule.id: rule for rule in rules}
    ids = sorted({problem.rule for problem in found})
    examples = {problem.rule: problem for problem in reversed(found)}
    told = [_rule(examples[id], known.get(id), documentation) for id in ids]
    driver = {
        "name": "pytest-initcheck",
        "version": session.provenance.get("pytest-initcheck", ""),
        **({"informationUri": documentation} if documentation else {}),
        "rules": told,
    }
    results = [_result(problem, ids.index(problem.rule), places) for problem in found]
    for result, mark in zip(results, _fingerprints(found), strict=True):
        result["partialFingerprints"] = mark
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(_printable(log), indent=1, allow_nan=False) + "\n"


def _printable(value: Any) -> Any:
    # Names are not ours. JSON can escape a lone surrogate, and readers of it fail.
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return summary.printable(value) if isinstance(value, str) else value


def _rule(example: Problem, known: RuleText | None, documentation: str) -> dict[str, Any]:
    if example.finding is None:
        return _baseline_rule(example.rule, documentation)
    # A check that is registered by a team's hook has rules that only its findings tell of.
    if known is None:
        finding = example.finding
        return _described(finding.id, finding.check, finding.cause, [finding.remedy], example.level)
    level = LEVELS[known.severities[0]]
    more = [f"allowed: {known.limit}", known.remedy]
    described = _described(known.id, known.title, known.cause, more, level)
    page = f"checks.md#{_anchor(f'{known.id} {known.title}')}"
    return described | _help_uri(documentation, page)


def _baseline_rule(id: str, documentation: str) -> dict[str, Any]:
    (title,) = (title for rule, title in BASELINE_RULES.values() if rule == id)
    more = ["accept what is meant with pytest --initcheck-update, and commit the file"]
    return _described(id, title, title, more, "error") | _help_uri(documentation, "baselines.md")


def _described(id: str, title: str, cause: str, more: Sequence[str], level: str) -> dict[str, Any]:
    return {
        "id": id,
        "name": _pascal(title),
        "shortDescription": {"text": _sentence(title)},
        "fullDescription": {"text": _sentence(cause)},
        "help": {"text": " ".join(_sentence(part) for part in (cause, *more) if part)},
        "defaultConfiguration": {"level": level},
    }


def _help_uri(documentation: str, page: str) -> dict[str, Any]:
    return {"helpUri": f"{documentation.rstrip('/')}/{page}"} if documentation else {}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _pascal(title: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"\w+", title)) or "Finding"


def _sentence(text: str) -> str:
    text = text.strip() or "no description"
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _result(problem: Problem, index: int, places: Places) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": problem.level,
        "message": {"text": problem.text},
        "locations": [_location(problem, places.get(problem.test.nodeid))],
    }
    if problem.ignored:
        result["suppressions"] = [{"kind": "inSource", "justification": problem.ignored}]
    return result


def _location(problem: Problem, place: Place | None) -> dict[str, Any]:
    test, layer = problem.test.nodeid, problem.layer
    full = f"{test}::{problem.entry.name}"
    logical = {"name": problem.entry.name, "fullyQualifiedName": full, "kind": "record"}
    if layer:
        logical = {"name": layer, "fullyQualifiedName": f"{full}::{layer}", "kind": "layer"}
    found: dict[str, Any] = {"logicalLocations": [logical]}
    if place is not None:
        found["physicalLocation"] = {
            "artifactLocation": _artifact(place.file),
            "region": {"startLine": place.line},
        }
    return found


def _artifact(file: str) -> dict[str, str]:
    if PurePath(file).is_absolute():
        return {"uri": PurePath(file).as_uri()}
    return {"uri": quote(os.fsencode(file)), "uriBaseId": _ROOT}


def _fingerprints(found: Iterable[Problem]) -> Iterator[dict[str, str]]:
    seen: Counter[str] = Counter()
    for problem in found:
        # What was measured is not in it: a finding of the next run is the same one.
        parts = (problem.test.nodeid, problem.entry.name, problem.rule, problem.layer)
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        seen[digest] += 1
        # By the second, GitHub tells two findings of one rule at one line apart; it would else
        # hash the line.
        yield {"initcheck/v1": digest, "primaryLocationLineHash": f"{digest}:{seen[digest]}"}
