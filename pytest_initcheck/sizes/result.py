"""What came of `scaling`: values by layer, quantity, step, size and seed, and their exponents."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RunRecord
from pytest_initcheck.sizes.exponent import Exponent, exponent_of, slope_of
from pytest_initcheck.statistics import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Role = Literal["input", "hidden", "output", "fixed", "logits", "model"]
# What is measured, in the order of the table.
QUANTITIES = ("weight", "gain", "activation", "change", "own change", "gradient", "update")
AT_START = ("weight", "gain", "activation", "gradient")
Values = dict[tuple[str, str, int], float]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many values a layer sums for one output, how many outputs and rows of data it has.

    ``parameter`` is the weight, by which layers that share one are known. Logits of attention
    (``is_logits``) have no weight: their fan_in is the size of a head, their rows are the keys.
    """

    fan_in: int
    fan_out: int
    rows: int
    parameter: str = ""
    is_logits: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """Models of several ``sizes``, from several ``seeds``, over ``steps`` steps on one batch.

    All are root mean squares. For every layer, at the start: "weight", of its weight times √fan_in,
    the gain on data that it does not know, and "gain", of its product with the data over the data;
    at every step: "activation", of its output; "change", of its output less that at the start; "own
    change", of what the change of its weight alone makes of the data of the start; "gradient", of
    the loss in its weight; "update", of its weight by the last step. The logits of attention,
    "(logits)" after the name of its module, have an activation and a change. The layers "(input)"
    and "(output)" stand for the model: the gradient at the output of its first layer, and its
    output.

    ``layers`` are those that all sizes have; ``values`` is, for each size and seed, a value by
    layer, quantity and step, 0 for the start; ``losses`` is sizes × seeds × (steps + 1).
    """

    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    steps: int
    values: list[list[Values]] = field(repr=False)
    shapes: list[dict[str, Shape]] = field(repr=False)
    losses: list[list[list[float]]] = field(repr=False)

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers that the models of all sizes have, in the order in which they run."""
        common = set.intersection(*(set(shapes) for shapes in self.shapes))
        return tuple(name for name in self.shapes[0] if name in common)

    @functools.cached_property
    def roles(self) -> dict[str, Role]:
        """The `role` of every layer."""
        return {layer: self._role(layer) for layer in self.layers}

    def role(self, layer: str) -> Role:
        """What a layer is by which of its fans grow with the size: its inputs, its outputs, both.

        "input": its outputs alone; "output": its inputs alone; "hidden": both; "fixed": neither;
        "logits" for those of attention; "model" for "(input)" and "(output)". Source: Yang et
        al., Tensor Programs V (2022), appendix B: vector-like and matrix-like weights.
        """
        return self.roles.get(layer, "model")

    def _role(self, layer: str) -> Role:
        shapes = [shapes[layer] for shapes in self.shapes]
        if shapes[0].is_logits:
            return "logits"
        grows_in = self._grows([shape.fan_in for shape in shapes])
        grows_out = self._grows([shape.fan_out for shape in shapes])
        if grows_in:
            return "hidden" if grows_out else "output"
        return "input" if grows_out else "fixed"

    def _grows(self, fans: list[int]) -> bool:
        # Half-way between what does not grow and what grows in proportion.
        return slope_of(self.sizes, fans) > 0.5

    def is_tied(self, layer: str) -> bool:
        """Whether the weight of a layer is that of another layer, too."""
        weights = [shape.parameter for shape in self.shapes[0].values() if shape.parameter]
        return layer in self.layers and weights.count(self.shapes[0][layer].parameter) > 1

    def samples(self, layer: str, quantity: str, step: int = -1) -> list[list[float]]:
        """The values, sizes × seeds, at a step; -1 (default) for the last that has them.

        0 where a model has none, as where it is zero: neither has a logarithm, and both are left
        out of exponents.

        Raises:
            InitcheckError: nothing of this name was measured.
        """
        steps = self.steps_of(layer, quantity)
        if step == -1 and steps:
            step = steps[-1]
        if step not in steps:
            known = ", ".join(self._names)
            raise InitcheckError(
                f"no {quantity!r} of {layer!r} was measured at step {step}; there are layers "
                f"{known} and quantities {', '.join(QUANTITIES)}"
            )
        key = (layer, quantity, step)
        return [[values.get(key, 0.0) for values in row] for row in self.values]

    def steps_of(self, layer: str, quantity: str) -> list[int]:
        """At which steps a quantity of a layer was measured."""
        keys = self.values[0][0]
        return [step for step in range(self.steps + 1) if (layer, quantity, step) in keys]

    def exponent(
        self, layer: str, quantity: str, step: int = -1, confidence: float = CONFIDENCE
    ) -> Exponent:
        """How a quantity of a layer grows with the size, at a step; -1 for the last.

        ``confidence`` is that of its interval, 0.95 by default.

        Raises:
            InitcheckError: nothing of this name was measured.
        """
        return exponent_of(self.sizes, self.samples(layer, quantity, step), confidence)

    def run_record(self) -> RunRecord:
        """Per seed the exponent of every quantity, at the start or after the last step."""
        metrics = {}
        for layer, quantity, step in self.measured:
            if step == self.steps_of(layer, quantity)[-1] or (step == 0 and quantity in AT_START):
                slopes = self._slopes(layer, quantity, step)
                if all(map(math.isfinite, slopes)):
                    metrics[f"{layer}: {quantity}, step {step}"] = slopes
        return RunRecord(
            seeds=self.seeds,
            metrics=metrics,
            meta={
                "sizes": ", ".join(map(str, self.sizes)),
                "steps": str(self.steps),
                "roles": ", ".join(f"{layer} {self.role(layer)}" for layer in self.layers),
            },
        )

    def _slopes(self, layer: str, quantity: str, step: int) -> tuple[float, ...]:
        columns = zip(*self.samples(layer, quantity, step), strict=True)
        return tuple(slope_of(self.sizes, column) for column in columns)

    def table(self) -> list[str]:
        """The exponents as lines of text: a layer each, at the start, or after the last step."""
        from pytest_initcheck.sizes.table import lines

        rows = [(name, self.role(name), self._row(name)) for name in self._names]
        return lines(QUANTITIES, rows)

    def _row(self, layer: str) -> list[Exponent | None]:
        return [
            self.exponent(layer, quantity, 0 if quantity in AT_START else -1)
            if self.steps_of(layer, quantity)
            else None
            for quantity in QUANTITIES
        ]

    def plot(self) -> Figure:
        """Every quantity over the size, both logarithmic, a line per layer, after the last step."""
        from pytest_initcheck.sizes.picture import drawn

        fields = {
            quantity: {
                name: self.samples(name, quantity)
                for name in self._names
                if self.steps_of(name, quantity)
            }
            for quantity in QUANTITIES
        }
        return drawn(self.sizes, fields)

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.layers, "(input)", "(output)")

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import page_of

        return page_of(self)

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self.sizes))
        return f"Scaling({len(self.layers)} layers; sizes {sizes}; {len(self.seeds)} seeds)"

    def __str__(self) -> str:
        return "\n".join(self.table())

    def to_frame(self) -> pd.DataFrame:
        """One row per layer, quantity and step: role, exponent, low, high, rate."""
        import pandas as pd

        return pd.DataFrame(
            [
                [layer, self.role(layer), quantity, step, e.value, e.low, e.high, e.rate]
                for layer, quantity, step in self.measured
                for e in [self.exponent(layer, quantity, step)]
            ],
            columns=["layer", "role", "quantity", "step", "exponent", "low", "high", "rate"],
        )

    @functools.cached_property
    def measured(self) -> list[tuple[str, str, int]]:
        """Every layer, quantity and step with a value."""
        return [
            (name, quantity, step)
            for name in self._names
            for quantity in QUANTITIES
            for step in self.steps_of(name, quantity)
        ]
