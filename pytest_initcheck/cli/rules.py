"""``initcheck rules``: every rule in a line, or some of them in full."""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_initcheck import checks
from pytest_initcheck.checks import Rule
from pytest_initcheck.checks.external_rules import external_rules
from pytest_initcheck.cli import OK
from pytest_initcheck.cli.output import aligned, print_json
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ignores import NEVER, closest, covers

WIDTH = 100
_INDENT = " " * 16


def print_rules(arguments: argparse.Namespace) -> int:
    """Print the rules, in full where ids are given.

    Raises:
        InitcheckError: no rule has such an id.
    """
    known = checks.rules()
    chosen = _chosen(known, arguments.ids) if arguments.ids else known
    if arguments.json:
        print_json([_data(rule, known) for rule in chosen])
    elif arguments.ids:
        print("\n\n".join("\n".join(_explained(rule, known)) for rule in chosen))
    else:
        print("\n".join(_listed(known)))
    return OK


def _chosen(known: Sequence[Rule], ids: Sequence[str]) -> list[Rule]:
    found: dict[str, Rule] = {}
    for id in ids:
        mine = {rule.id: rule for rule in known if covers(id.upper(), rule.id.upper())}
        if not mine:
            hint = closest(id, (rule.id for rule in known))
            raise InitcheckError(f"no rule has the id {id}{hint}; initcheck rules lists all")
        found.update(mine)
    return list(found.values())


def _checks() -> dict[str, str]:
    """The name of the check that finds it, by id."""
    found = {rule.id: check.name for check in checks.available() for rule in check.rules}
    return found | {rule.id: name for name, rule in external_rules()}


def _distributions() -> dict[str, str]:
    """Which distribution brings it, by the ids of the rules that are not the package's own."""
    found = [(getattr(check, "distribution", ""), check) for check in checks.available()]
    return {rule.id: name for name, check in found if name for rule in check.rules}


def _listed(known: Sequence[Rule]) -> list[str]:
    finds = _checks()
    rows = [("id", "check", "severity", "title")]
    rows += [(r.id, finds[r.id], ", ".join(r.severities), r.title) for r in known]
    return list(aligned(rows))


def _explained(rule: Rule, known: Sequence[Rule]) -> Iterator[str]:
    yield f"{rule.id} {rule.title}"
    for name, text in _facts(rule, known):
        if text:
            lines = textwrap.wrap(text, WIDTH - len(_INDENT), break_on_hyphens=False)
            yield f"  {name + ':':<14}{lines[0]}"
            yield from (f"{_INDENT}{line}" for line in lines[1:])


def _facts(rule: Rule, known: Sequence[Rule]) -> list[tuple[str, str]]:
    ignoring = NEVER.get(rule.id)
    return [
        ("check", _checks()[rule.id]),
        ("brought by", _distributions().get(rule.id, "")),
        ("severity", " or ".join(rule.severities)),
        ("cause", rule.cause),
        ("measured", rule.quantity),
        ("allowed", rule.limit),
        ("from", rule.reference),
        ("not where", rule.exempt),
        ("follows from", ", ".join(sorted(rule.follows))),
        ("explains", ", ".join(_followed_by(rule, known))),
        ("remedy", rule.remedy),
        ("ignore it", f"not possible: {ignoring}" if ignoring else _example(rule)),
    ]


def _example(rule: Rule) -> str:
    return f'ignore="{rule.id} LAYER-PATTERN: reason" in the call or marker, or initcheck_ignore'


def _followed_by(rule: Rule, known: Sequence[Rule]) -> list[str]:
    """The rules whose findings are told as consequences of this one's."""
    return [other.id for other in known if rule.id in other.follows]


def _data(rule: Rule, known: Sequence[Rule]) -> dict[str, Any]:
    data = dataclasses.asdict(rule)
    data["follows"], data["bows"] = sorted(rule.follows), sorted(rule.bows)
    return {**data, "check": _checks()[rule.id], "explains": _followed_by(rule, known)}
