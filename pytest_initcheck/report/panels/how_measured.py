"""How an entry was measured: seeds, versions, options."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry
from pytest_initcheck.report.panels.panel import Facts

MOST_SEEDS = 16


class HowMeasured:
    """The facts that the records state about themselves."""

    title = "How it was measured"

    def parts(self, entry: Entry) -> Iterator[Facts]:
        """One list; nothing where the records state nothing."""
        facts = _facts(entry)
        if facts:
            yield Facts(facts)


def _facts(entry: Entry) -> tuple[tuple[str, str], ...]:
    record = entry.record
    facts = list(record.meta.items())
    if record.seeds:
        facts.insert(0, ("seeds", _seeds(record.seeds)))
    known = dict(facts)
    for model in (m for m in (record.before, record.after) if m is not None):
        for key, value in model.meta.items():
            if known.setdefault(key, value) != value:
                known[f"{key}, {model.moment}"] = value
    return tuple(known.items())


def _seeds(seeds: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, seeds[:MOST_SEEDS]))
    more = len(seeds) - MOST_SEEDS
    return shown + (f" and {more} more" if more > 0 else "")
