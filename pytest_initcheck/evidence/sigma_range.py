"""Between which σ a layer passes a signal on."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


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

    def to_frame(self) -> pd.DataFrame:
        """One row: the layer and the two ends."""
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame([dataclasses.asdict(self)])
        return frame

    def plot(self) -> Figure:
        """The range on an axis of σ; a side without a limit is drawn to where it was looked for."""
        from pytest_initcheck.report.figures import range_figure

        return range_figure(self.low, self.high, "σ", str(self))

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import table_of

        return table_of([str(self)], self.to_frame())

    def __str__(self) -> str:
        if self.low is not None and math.isnan(self.low):
            return f"no σ keeps layer {self.layer!r} unsaturated on this data"
        low = "0" if self.low is None else f"{self.low:.3g}"
        high = "any size" if self.high is None else f"{self.high:.3g}"
        return f"layer {self.layer!r} stays unsaturated for σ from {low} to {high} on this data"
