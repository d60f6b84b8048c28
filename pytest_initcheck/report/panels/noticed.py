"""Which tests notice which planted fault: what ``initcheck mutate`` found."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry
from pytest_initcheck.report.panels.panel import Table, Text


class Noticed:
    """One row for each fault, with the tests that fail with it and pass without."""

    title = "Which tests notice a planted fault"

    def parts(self, entry: Entry) -> Iterator[Text | Table]:
        """A sentence and a table; nothing where no fault was planted."""
        noticed = entry.record.noticed
        if noticed:
            yield Text("Each fault was planted by itself into every model that the tests use.")
            rows = [
                (fault, str(len(tests)), ", ".join(tests) or "none")
                for fault, tests in noticed.items()
            ]
            yield Table(head=("fault", "tests", "noticed by"), rows=rows)
