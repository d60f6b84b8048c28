"""Which experts the tokens of the batch were sent to."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry
from pytest_initcheck.report.panels.panel import Table

_MOST = 32


class Routers:
    """One row for each router."""

    title = "Tokens per expert"

    def parts(self, entry: Entry) -> Iterator[Table]:
        """Nothing where the model has no router, or was not diagnosed."""
        record = entry.record.before
        rows = [
            (one.router, str(one.picked), _listed(one.counts), f"{one.dispersion:.3g}")
            for one in (record.experts if record else ())
        ]
        if rows:
            yield Table(head=("router", "experts per token", "tokens", "χ² / (E − 1)"), rows=rows)


def _listed(counts: tuple[int, ...]) -> str:
    return " ".join(map(str, counts[:_MOST])) + " …" * (len(counts) > _MOST)
