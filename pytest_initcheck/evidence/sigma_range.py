"""Between which σ a layer passes a signal on."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SigmaRange:
    """The σ of N(0, σ²) with which a layer neither saturates nor loses its signal on this data.

    Within ``low`` and ``high`` half of the units pass at least a quarter of the gradient that
    they could, and at least 1e-4 of what the layer hands on differs between samples. A side is
    None where no limit was met between 1e-6 and 1e6; both are NaN where no σ will do.
    """

    layer: str
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is not None and math.isnan(self.low):
            return f"no σ keeps layer {self.layer!r} unsaturated on this data"
        low = "0" if self.low is None else f"{self.low:.3g}"
        high = "any size" if self.high is None else f"{self.high:.3g}"
        return f"layer {self.layer!r} stays unsaturated for σ from {low} to {high} on this data"
