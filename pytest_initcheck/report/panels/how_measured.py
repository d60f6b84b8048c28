"""How an entry was measured: seeds, versions, options."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry, RunRecord
from pytest_initcheck.report.panels.panel import Facts
from pytest_initcheck.report.quantities import named, text


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
    facts = [
        (title, text(RunRecord, name, value))
        for name, title, _ in named(RunRecord)
        if (value := getattr(record, name)) not in (None, (), "")
    ]
    facts += [
        (f"{name} of {curve}", f"{value:.4g}")
        for curve, levels in record.levels.items()
        if curve not in {**record.curves, **record.shown}  # Else it is drawn beside the curve.
        for name, value in levels.items()
    ]
    facts += record.meta.items()
    known = dict(facts)
    for model in (m for m in (record.before, record.after) if m is not None):
        for key, value in model.meta.items():
            if known.setdefault(key, value) != value:
                known[f"{key}, {model.moment}"] = value
    return tuple(known.items())
