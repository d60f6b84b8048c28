"""How a start scales with a size: an exponent for every layer and quantity."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from pytest_initcheck.records import Entry
from pytest_initcheck.report.panels.panel import Table
from pytest_initcheck.statistics import paired_difference


class Exponents:
    """One table for an entry of `scaling`: a row per layer, means over seeds with intervals."""

    title = "How it scales"

    def parts(self, entry: Entry) -> Iterator[Table]:
        """The table; nothing for entries of another kind."""
        if entry.kind != "scaling" or not entry.record.metrics:
            return
        rows: dict[str, dict[str, str]] = {}
        for name, exponents in entry.record.metrics.items():
            layer, _, quantity = name.rpartition(": ")
            rows.setdefault(layer, {})[quantity] = _text(exponents)
        heads = sorted(dict.fromkeys(head for row in rows.values() for head in row), key=_order)
        yield Table(
            head=("layer", *heads),
            rows=[(layer, *(row.get(head, "") for head in heads)) for layer, row in rows.items()],
        )


def _order(head: str) -> tuple[int, str]:
    quantity, _, step = head.rpartition(", step ")
    return int(step), quantity


def _text(exponents: tuple[float, ...]) -> str:
    if len(exponents) < 2:
        return f"{fmean(exponents):+.2f}"
    found = paired_difference(exponents, [0.0] * len(exponents))
    return f"{found.mean:+.2f} ({found.interval[0]:+.2f} to {found.interval[1]:+.2f})"
