"""Which calls wrote every parameter and buffer, where the model was built under record."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry
from pytest_initcheck.report.panels.panel import Table


class Ledger:
    """One row for each parameter and buffer, in the order of the model."""

    title = "How it was built"

    def parts(self, entry: Entry) -> Iterator[Table]:
        """One table; nothing where a model was passed that had been built before."""
        rows = list(entry.record.ledger.items())
        if rows:
            yield Table(head=("tensor", "written"), rows=rows)
