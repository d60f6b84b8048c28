"""What came of `escape`: trajectories, ends, shares, the record for the report, a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.landscape.ends import End
from pytest_initcheck.landscape.grid import landscape
from pytest_initcheck.landscape.problem import EscapeProblem
from pytest_initcheck.records import Curve, RunRecord
from pytest_initcheck.statistics import CONFIDENCE, ShareVerdict, share_at_least, wilson

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Predicate = Callable[[Tensor], object]
_SHOWN = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Escape:
    """Trajectories of an optimiser on an objective, one per seed.

    ``trajectories`` is seeds × (steps + 1) × elements of w, from the start to the end; ``values``
    is seeds × (steps + 1), the objective there (with the noise, where that is on the loss).
    ``ends`` says for each seed "minimum", "saddle", "maximum", "flat", "still moving" or
    "diverged"; ``gradient_norms`` (seeds) and ``eigenvalues`` (seeds × elements, ascending) are of
    the noiseless objective at the last point. All tensors are on the CPU.
    """

    problem: EscapeProblem = field(repr=False)
    trajectories: Tensor = field(repr=False)
    values: Tensor = field(repr=False)
    ends: tuple[End, ...]
    gradient_norms: tuple[float, ...]
    eigenvalues: Tensor = field(repr=False)
    optimizer: str = ""
    reached: Predicate | None = field(default=None, repr=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order of the rows."""
        return self.problem.seeds

    @property
    def final(self) -> Tensor:
        """Where each seed ends: seeds × the shape of the start."""
        return self.trajectories[:, -1].reshape(len(self.seeds), *self.problem.start.shape)

    @property
    def escaped(self) -> tuple[bool, ...]:
        """For each seed, whether ``reached`` holds at its final w; never where that is NaN."""
        return self.holds()

    def holds(self, predicate: Predicate | None = None) -> tuple[bool, ...]:
        """For each seed, whether ``predicate`` (default: ``reached``) holds at its final w.

        The predicate gets w in the shape of the start (one element for a start that is a number).

        Raises:
            InitcheckError: there is no predicate, or it does not return one truth value.
        """
        chosen = predicate if predicate is not None else self.reached
        if chosen is None:
            raise InitcheckError(
                "what counts as escaped is not known; pass reached=, a function of the final w,"
                " such as reached=lambda w: w < 0"
            )
        return tuple(not bool(w.isnan().any()) and _truth(chosen, w) for w in self.final)

    def share(self, predicate: Predicate | None = None) -> float:
        """The share of seeds in [0, 1] for which ``predicate`` (default: ``reached``) holds."""
        return sum(self.holds(predicate)) / len(self.seeds)

    def interval(
        self, predicate: Predicate | None = None, confidence: float = CONFIDENCE
    ) -> tuple[float, float]:
        """Wilson's confidence interval of `share`."""
        return wilson(sum(self.holds(predicate)), len(self.seeds), confidence)

    def verdict(self, probability: float, confidence: float = CONFIDENCE) -> ShareVerdict:
        """Whether the seeds agree with a true share of escapes of at least ``probability``."""
        return share_at_least(sum(self.escaped), len(self.seeds), probability, confidence)

    def summary(self) -> str:
        """The ends in one line: "5 of 8 minimum, 3 of 8 saddle"."""
        n = len(self.seeds)
        return ", ".join(f"{count} of {n} {end}" for end, count in Counter(self.ends).most_common())

    def run_record(self) -> RunRecord:
        """Curves of w (its first 8 elements) and the objective, the final values, and the ends."""
        shown = range(min(self.trajectories.shape[-1], _SHOWN))
        curves = {f"w{i}": _curves(self.trajectories[..., i]) for i in shown}
        metrics = {f"final w{i}": _curve(self.trajectories[:, -1, i]) for i in shown}
        metrics["final objective"] = _curve(self.values[:, -1])
        metrics["gradient norm"] = self.gradient_norms
        if self.reached is not None:
            metrics["escaped"] = tuple(map(float, self.escaped))
        return RunRecord(
            seeds=self.seeds,
            curves={**curves, "objective": _curves(self.values)},
            metrics=metrics,
            meta=self._meta(),
            landscape=landscape(self.problem, self.trajectories),
        )

    def _meta(self) -> dict[str, str]:
        problem = self.problem
        noise = f"{problem.noise:g} on the {problem.noise_on}" if problem.noise else "none"
        return {
            "ends": ", ".join(self.ends),
            "noise": noise,
            "optimizer": self.optimizer,
            "start": ", ".join(f"{x:g}" for x in problem.start.flatten()[:_SHOWN].tolist()),
            "steps": str(problem.steps),
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per seed, step and quantity: w (its first 8 elements) and the objective."""
        from pytest_initcheck.report.notebook import frame_of_values

        return frame_of_values(self)

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import page_of

        return page_of(self)

    def __repr__(self) -> str:
        return f"Escape({self.optimizer}: {self.summary()})"

    def plot(self, span: tuple[float, float] | None = None) -> Figure:
        """The trajectories on the objective: a curve in one dimension, contours in two.

        ``span`` is the range of w shown, default what the trajectories cover. In more dimensions
        the objective is drawn over the steps.
        """
        from pytest_initcheck.landscape.picture import EscapeDrawing, draw

        drawing = EscapeDrawing(
            problem=self.problem,
            trajectories=self.trajectories,
            values=self.values,
            seeds=self.seeds,
            title=f"{self.optimizer}: {self.summary()}",
        )
        return draw(drawing, span)


def _truth(predicate: Predicate, w: Tensor) -> bool:
    try:
        return bool(predicate(w))
    except Exception as error:
        raise InitcheckError(
            f"reached raised {type(error).__name__}: {error}; pass a function of the final w"
            f" (a tensor of shape {tuple(w.shape)}) that returns one truth value"
        ) from error


def _curve(values: Tensor) -> Curve:
    return tuple(values.tolist())


def _curves(values: Tensor) -> tuple[Curve, ...]:
    return tuple(map(_curve, values))
