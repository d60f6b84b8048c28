"""Exponents as text."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.sizes.exponent import Exponent

# The row of a layer: its name, its role, and the exponent of every quantity that it has.
Row = tuple[str, str, Sequence[Exponent | None]]


def lines(quantities: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """A head, then a line per row."""
    cells = [("layer", "role", *quantities)]
    cells += [(layer, role, *map(_cell, found)) for layer, role, found in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cell(exponent: Exponent | None) -> str:
    if exponent is None:
        return ""
    if not exponent.is_known:
        return "-"
    return f"{exponent.value:+.2f} ± {exponent.high - exponent.value:.2f}"
