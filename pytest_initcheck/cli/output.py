"""What commands print alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


def counted(counts: Counter[str], words: Iterable[str] | None = None) -> str:
    """ "1 match, 2 changed": how often each word occurs, without those that do not."""
    told = [f"{counts[word]} {word}" for word in (counts if words is None else words)]
    return ", ".join(text for text in told if not text.startswith("0 ")) or "nothing"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines, their columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def print_json(data: Any) -> None:
    """One JSON value, in ASCII, for another program."""
    print(json.dumps(data, indent=1, allow_nan=False))
