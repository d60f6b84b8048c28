"""The residual streams of a model: what writes to them, and how they grow."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.records import Entry, StreamRecord
from pytest_initcheck.report.panels.panel import Table, Text

# Of what runs through hundreds of blocks, a page shows these, evenly spread.
_MOST = 48


class ResidualStreams:
    """A table for each stream, with the variance after each addition."""

    title = "Residual streams"

    def parts(self, entry: Entry) -> Iterator[Text | Table]:
        """Nothing where the model has none, or was not diagnosed."""
        for stream in entry.record.before.streams if entry.record.before else ():
            law = f", growth {stream.law}" if stream.law else ""
            yield Text(f"{stream.name or 'model'}: {len(stream.writers)} additions{law}")
            yield Table(head=("written by", "variance", "growth"), rows=list(_rows(stream)))


def _rows(stream: StreamRecord) -> Iterator[tuple[str, str, str]]:
    names = ("(before the first)", *stream.writers)
    step = max(1, -(-len(names) // _MOST))
    for place in [*range(0, len(names) - 1, step), len(names) - 1]:
        yield names[place], _at(stream.variance, place), _at(stream.growth, place)


def _at(values: tuple[float, ...], place: int) -> str:
    return f"{values[place]:.4g}" if place < len(values) else "–"
