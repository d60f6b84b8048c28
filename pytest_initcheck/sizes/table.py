"""The exponents of a `Scaling` as text."""

from __future__ import annotations

from pytest_initcheck.sizes.result import QUANTITIES, Scaling

_HEAD = (
    "layer",
    "role",
    "weight",
    "gain",
    "activation",
    "change",
    "own change",
    "gradient",
    "update",
)
_AT_START = ("weight", "gain", "activation", "gradient")


def lines(found: Scaling) -> list[str]:
    """A head, then a line per layer: gain, activation and gradient at the start, the rest last."""
    names = (*found.layers, "(input)", "(output)")
    rows = [_HEAD, *(_row(found, name) for name in names)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(found: Scaling, name: str) -> tuple[str, ...]:
    return (name, found.role(name), *(_cell(found, name, quantity) for quantity in QUANTITIES))


def _cell(found: Scaling, name: str, quantity: str) -> str:
    if not found.steps_of(name, quantity):
        return ""
    exponent = found.exponent(name, quantity, 0 if quantity in _AT_START else -1)
    if not exponent.is_known:
        return "-"
    return f"{exponent.value:+.2f} ± {exponent.high - exponent.value:.2f}"
