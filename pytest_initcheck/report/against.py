"""Two runs side by side: what stands where a page else speaks of baselines, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_initcheck.records import Comparison, Entry, LayerRecord, ModelRecord, SessionRecord
from pytest_initcheck.report.panels.panel import Table
from pytest_initcheck.report.quantities import Column, columns
from pytest_initcheck.report.texts import difference_words

_OF_LAYER = re.compile(r"^(before|after) layer '(.*?)' (.*)$")
_NOTHING = "-"
_PLACES = ("layer", "moment", "beyond what is allowed")


@dataclass(frozen=True)
class Against:
    """The names of two runs; the second is the one that the page shows."""

    first: str
    second: str

    @property
    def labels(self) -> Mapping[str, str]:
        """What the states of a comparison are called."""
        return {"match": "agree", "changed": "differ", "new": f"only in {self.second}"}

    def headline(self, comparison: Comparison) -> str:
        """How one record stands, in a sentence."""
        bad = len(comparison.differences)
        n = max(comparison.compared, bad)
        if comparison.status == "new":
            return f"Only {self.second} has this record."
        if comparison.status == "changed":
            return f"{bad} of {n} compared values differ by more than is allowed, worst first."
        return f"All {n} compared values lie within their tolerance."

    def since(self, comparison: Comparison) -> str:
        """Whether the first run has the fault, too; empty where it does not know the record."""
        words = {
            "fail": f"{self.first} fails, too",
            "warn": f"new: {self.first} had warnings only",
            "pass": f"new: healthy in {self.first}",
        }
        return words.get(comparison.provenance.get("verdict", ""), "")

    def sentence(self, session: SessionRecord) -> str:
        """ "before and after: 2 of 5 records differ"."""
        found = [c.status for c in _comparisons(session) if c.status != "new"]
        differ = found.count("changed")
        told = f"{differ} of {len(found)} records differ{'s' if differ == 1 else ''}"
        if not differ:
            told = f"all {len(found)} records agree" if found else "no record in common"
        return f"{self.first} and {self.second}: {told}"

    def by_layer(self, entry: Entry) -> Table | None:
        """Layer by layer, what both runs measured; None where they did not both see a model."""
        comparison = entry.comparison
        if comparison is None or comparison.expected is None:
            return None
        beyond = _beyond(comparison)
        rows: list[Sequence[str]] = []
        for moment in ("before", "after"):
            first, second = (getattr(run, moment) for run in (comparison.expected, entry.record))
            if first is not None and second is not None:
                rows += self._rows(moment, first, second, beyond)
        if not rows:
            return None
        titles = [*_PLACES, *(column.title for column in columns())]
        return _without_empty(Table(head=titles, rows=rows))

    def _rows(
        self,
        moment: str,
        first: ModelRecord,
        second: ModelRecord,
        beyond: Mapping[tuple[str, str], str],
    ) -> Iterator[Sequence[str]]:
        known, now = ({layer.name: layer for layer in m.layers} for m in (first, second))
        for name in dict.fromkeys((*known, *now)):
            cells = [_cell(column, known.get(name), now.get(name)) for column in columns()]
            lacking = self.second if name not in now else self.first if name not in known else ""
            told = f"not in {lacking}" if lacking else beyond.get((moment, name), _NOTHING)
            yield (name or "(model)", second.moment, told, *cells)


def _comparisons(session: SessionRecord) -> Iterator[Comparison]:
    for test in session.tests:
        yield from (entry.comparison for entry in test.entries if entry.comparison is not None)


def _beyond(comparison: Comparison) -> dict[tuple[str, str], str]:
    """By moment and layer, which quantities differ by more than is allowed."""
    found: dict[tuple[str, str], list[str]] = {}
    for difference in comparison.differences:
        parts = _OF_LAYER.match(difference.key)
        if parts:
            found.setdefault((parts[1], parts[2]), []).append(difference_words(parts[3]))
    return {place: ", ".join(dict.fromkeys(words)) for place, words in found.items()}


def _cell(column: Column, first: LayerRecord | None, second: LayerRecord | None) -> str:
    old, new = (column.cell(layer) if layer else _NOTHING for layer in (first, second))
    return new if old == new else f"{old} → {new}"


def _without_empty(table: Table) -> Table:
    """The table without the columns in which nothing stands."""
    kept = [at for at in range(len(table.head)) if any(row[at] != _NOTHING for row in table.rows)]
    return Table(
        head=[table.head[at] for at in kept],
        rows=[[row[at] for at in kept] for row in table.rows],
    )
