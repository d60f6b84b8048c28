"""What commands print alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any


def counted(counts: Counter[str], words: Iterable[str] | None = None) -> str:
    """ "1 match, 2 changed": how often each word occurs, without those that do not."""
    told = [f"{counts[word]} {word}" for word in (counts if words is None else words)]
    return ", ".join(text for text in told if not text.startswith("0 ")) or "nothing"


def print_json(data: Any) -> None:
    """One JSON value, in ASCII, for another program."""
    print(json.dumps(data, indent=1, allow_nan=False))
