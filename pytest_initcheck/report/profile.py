"""The profile of a finding in words and as a line of bars: a quantity from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

MOST_WORDS = 8
MOST_BARS = 40
BARS = "▁▂▃▄▅▆▇█"
ZERO, LOST = "·", "×"


def profile_text(profile: Mapping[str, float]) -> str:
    """The profile at no more than eight layers spread evenly: "0: 1, 2: 0.01, …"."""
    names = list(profile)
    if len(names) > MOST_WORDS:
        step = (len(names) - 1) / (MOST_WORDS - 1)
        names = [names[round(i * step)] for i in range(MOST_WORDS)]
    return ", ".join(f"{name or 'model'}: {profile[name]:.2g}" for name in names)


def sparkline(values: Sequence[float]) -> str:
    """The values as bars on a log scale, evenly thinned; "·" is exactly 0, "×" is not finite."""
    if len(values) > MOST_BARS:
        step = (len(values) - 1) / (MOST_BARS - 1)
        values = [values[round(i * step)] for i in range(MOST_BARS)]
    sizes = [math.log(abs(value)) for value in values if value and math.isfinite(value)]
    low, span = min(sizes, default=0.0), max(sizes, default=0.0) - min(sizes, default=0.0)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return LOST
        part = (math.log(abs(value)) - low) / span if value and span else 1.0
        return BARS[round(part * (len(BARS) - 1))] if value else ZERO

    return "".join(map(bar, values))
