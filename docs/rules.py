"""Writes what the rules say of themselves into checks.md: ``python docs/rules.py``.

How they did on the corpus is added from measured.json, where it is there: ``python
benchmarks/recall.py --measured docs/measured.json`` writes it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_initcheck.checks import Rule, rules

PAGE = Path(__file__).with_name("checks.md")
MEASURED = Path(__file__).with_name("measured.json")
_SEEN = "; no more than a warning where the steps were seen to learn from the inputs"
BLOCK = re.compile(r"<!-- (IC\d+) -->\n.*?<!-- end -->", re.DOTALL)


def block(rule: Rule, measured: Mapping[str, str]) -> str:
    """The part of the page that comes from the rule, and from how it did."""
    facts = (
        ("Severity:", " or ".join(rule.severities) + _SEEN * rule.surrogate),
        ("Cause:", rule.cause),
        ("Measured:", rule.quantity),
        ("Allowed:", rule.limit),
        ("From:", rule.reference),
        ("Does not apply:", rule.exempt),
        ("Remedy:", rule.remedy),
        ("Reliability:", measured.get(rule.id, "")),
        ("Follows from,", "and is then told with: " * bool(rule.follows) + _ids(rule.follows)),
    )
    lines = [f"- **{name}** {text}." for name, text in facts if text]
    head = [f"<!-- {rule.id} -->", f"### {rule.id} {rule.title}", ""]
    return "\n".join([*head, *lines, "<!-- end -->"])


def _ids(ids: Iterable[str]) -> str:
    return ", ".join(sorted(ids))


def filled(page: str, measured: Mapping[str, str]) -> str:
    """The page with every block as the rules are now."""
    known = {rule.id: rule for rule in rules()}
    return BLOCK.sub(lambda m: block(known[m[1]], measured) if m[1] in known else m[0], page)


def named(page: str) -> list[str]:
    """The ids that have a block."""
    return BLOCK.findall(page)


def missing(page: str) -> str | None:
    """What to do where a rule has no block; None where each has one."""
    lacking = sorted({rule.id for rule in rules()} - set(named(page)))
    if not lacking:
        return None
    return "\n".join(
        f"{id} has no block: write '<!-- {id} -->' and '<!-- end -->' on two lines of {PAGE.name}, "
        "in the section of its kin, and run this again"
        for id in lacking
    )


if __name__ == "__main__":
    has_run = MEASURED.exists()
    sentences = json.loads(MEASURED.read_text(encoding="utf-8")) if has_run else {}
    text = filled(PAGE.read_text(encoding="utf-8"), sentences)
    PAGE.write_text(text, encoding="utf-8")
    sys.exit(missing(text))
