"""Residual streams as records: who writes to them, and how their variance grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_initcheck.evidence import SumSnapshot
from pytest_initcheck.evidence.stream_growth import law_of, variances
from pytest_initcheck.evidence.streams import Addition, Stream
from pytest_initcheck.records import StreamRecord


def stream_records(
    streams: Iterable[Stream], sums: Mapping[int, SumSnapshot]
) -> tuple[StreamRecord, ...]:
    """One record for each stream; the variance is left out where it was not finite."""
    return tuple(_record(stream, variances(stream, sums)) for stream in streams)


def _record(stream: Stream, measured: tuple[float, ...]) -> StreamRecord:
    return StreamRecord(
        name=stream.name,
        writers=tuple(_written_by(addition) for addition in stream.additions),
        variance=measured,
        law=law_of(measured) if measured else "",
    )


def _written_by(addition: Addition) -> str:
    return " + ".join(dict.fromkeys(writer.parameter for writer in addition.writers))
