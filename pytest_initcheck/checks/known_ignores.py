"""Ignores whose ids are held against the rules, which are not imported where settings are read."""

from __future__ import annotations

from pytest_initcheck.checks import registered, rules
from pytest_initcheck.checks.external_rules import external_rules
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ignores import NEVER, Ignore, IgnoreSpec, closest, covers, parse


def parse_known(given: IgnoreSpec) -> tuple[Ignore, ...]:
    """The ignores in what a user passes, all of them about rules that there are.

    Raises:
        InitcheckError: what `parse` raises, or an id that is none of a rule of this package, but
            looks like one.
    """
    ignores = parse(given)
    if any(ignore.is_own for ignore in ignores):
        known = _known_ids()
        for ignore in ignores:
            _check_id(ignore, known)
    return ignores


def _known_ids() -> set[str]:
    own = [*rules(registered()), *(rule for _, rule in external_rules())]
    return {rule.id for rule in own} - set(NEVER)


def _check_id(ignore: Ignore, known: set[str]) -> None:
    if ignore.is_own and not any(covers(ignore.id, id) for id in known):
        where = f"{ignore.origin}: " if ignore.origin else ""
        raise InitcheckError(
            f"{where}no rule has the id {ignore.id}{closest(ignore.id, known)}; "
            "see: initcheck rules"
        )
