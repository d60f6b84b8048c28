"""What may become a baseline: numbers that can move, of a healthy start, in a file that reads."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_initcheck.baseline import format
from pytest_initcheck.baseline.guards import guards_nothing
from pytest_initcheck.baseline.stored import ALLOWED, VERDICT, Stored, freeze
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Entry

ALLOW = "--initcheck-allow-unhealthy=REASON"


def storable(entry: Entry, provenance: Mapping[str, str]) -> Stored:
    """The entry's stored form, which can be written and read back.

    Raises:
        InitcheckError: it has none; the message says why.
    """
    try:
        stored = freeze(entry.record, provenance)
        text = format.render({"test": {entry.name: stored}})
        again = format.parse(text, "the file")["test"][entry.name]
    except (InitcheckError, ArithmeticError, ValueError, TypeError, RecursionError) as error:
        raise InitcheckError(f"its numbers cannot be stored: {error}") from None
    if not format.same_values(stored, again):
        raise InitcheckError("its numbers cannot be stored: they are read back as others")
    return stored


def refusal(entry: Entry, allow: str = "") -> str:
    """Why the entry is no baseline; empty where it is one. ``allow`` is why it may be unhealthy."""
    if entry.verdict == "fail" and not (allow or entry.expected):
        ids = ", ".join(dict.fromkeys(f.id for f in entry.findings if f.severity == "error"))
        found = f" ({ids})" if ids else ""
        return f"its start is not healthy{found}; repair it, ignore the findings, or give {ALLOW}"
    # Whoever takes an unhealthy start as it is knows what it does not do.
    why = "" if entry.verdict == "fail" else guards_nothing(entry.record)
    if why:
        return (
            f"it guards nothing: {why}; record something that moves, and assert in the test what "
            "has to be so"
        )
    return ""


def judgement(entry: Entry, allow: str) -> dict[str, str]:
    """What the provenance keeps of the entry's health."""
    if entry.verdict is None:
        return {}
    why = allow or entry.expected
    reason = {ALLOWED: why} if entry.verdict == "fail" and why else {}
    return {VERDICT: entry.verdict, **reason}
