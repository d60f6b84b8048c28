"""What a sweep returns: its cells by name, drawn and tabled together."""

from __future__ import annotations

from pytest_initcheck.records import RunRecord
from pytest_initcheck.records.display import Displayed


class Sweep(dict[str, RunRecord], Displayed):
    """The record of each cell by its name, a mapping as any other."""

    def __repr__(self) -> str:
        return f"Sweep({len(self)} cells: {', '.join(self)})"
