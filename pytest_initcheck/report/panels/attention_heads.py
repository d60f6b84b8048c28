"""Attention head by head: entropy and the largest score, at the start and after the steps."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry, HeadsRecord
from pytest_initcheck.report.panels.panel import Table

# A page shows so many attentions, evenly spread over the depth.
_MOST = 32


class AttentionHeads:
    """One row for each attention: the least and the greatest of its heads."""

    title = "Attention heads"

    def parts(self, entry: Entry) -> Iterator[Table]:
        """Nothing where the model has none, or was not diagnosed."""
        for record in (entry.record.before, entry.record.after):
            heads = record.heads if record else ()
            if record and heads:
                step = max(1, -(-len(heads) // _MOST))
                head = (record.moment, "heads", "entropy", "1 − Σp²", "largest score")
                yield Table(head=head, rows=[_row(one) for one in heads[::step]])


def _row(one: HeadsRecord) -> tuple[str, ...]:
    values = (_range(one.entropy), _range(one.passed), _range(one.largest))
    return (one.name, str(len(one.entropy)), *values)


def _range(values: tuple[float, ...]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}" if values else "–"
