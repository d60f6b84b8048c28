"""What was measured at one place of the loss, and what kind of place that makes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_initcheck.records import RunRecord
from pytest_initcheck.records.display import Displayed
from pytest_initcheck.report import notebook as _notebook  # noqa: F401

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["slope", "saddle", "minimum", "maximum", "flat"]


@dataclass(frozen=True)
class Outermost:
    """The end of a spectrum: some value of it is within ``error`` of ``value``, and none beyond
    ``bound`` with a probability of 99 % over the random start."""

    value: float
    error: float
    bound: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.1g}"


class Eigenvalue(Outermost):
    """An outermost eigenvalue of the Hessian, as the Rayleigh quotient of a vector y.

    ``error`` is ‖Hy − value·y‖ plus rounding (Parlett: The Symmetric Eigenvalue Problem, 1998,
    theorem 4.5.1). The outermost lies at ``value`` or further out.
    """


@dataclass(frozen=True, kw_only=True)
class CriticalPoint(Displayed):
    """Where a model stands on the loss of one batch.

    Attributes:
        loss: on the batch, in training mode, without dropout.
        gradient_norm: ‖g‖ over all trainable parameters.
        decrease: by how much of its own size the loss falls in one step of gradient descent, as
            the gradient and the largest curvature predict it; see ``predicted_decrease``.
        largest, smallest: the outermost eigenvalues of the Hessian.
        rounding: below it a Rayleigh quotient cannot be told from 0.
        negligible: a curvature so small that it changes the loss by less than ``tolerance`` of
            itself over a distance of max(1, ‖w‖), or less than a millionth of the largest.
        tolerance: the relative change of the loss that counts.
        best_constant: the loss of the best constant prediction, None where that is not known.
        direction: the share of each parameter in the (squared) eigenvector of ``smallest``,
            largest first: along it the loss falls, where it falls.
        parameters: how many trainable parameters took part.
        steps: products of the Lanczos process.
        method: how Hessian-vector products were made, "double backward" or "finite differences".
        meta: model, loss, device and dtype, as a diagnosis records them.
    """

    loss: float
    gradient_norm: float
    decrease: float
    largest: Eigenvalue
    smallest: Eigenvalue
    rounding: float
    negligible: float
    tolerance: float
    best_constant: float | None
    direction: dict[str, float]
    parameters: int
    steps: int
    method: str
    meta: dict[str, str]

    @property
    def kind(self) -> Kind:
        """ "slope" where the gradient step is worth more than the tolerance, else by curvature."""
        if self.decrease > self.tolerance:
            return "slope"
        falls, rises = self.smallest.value < -self.least, self.largest.value > self.least
        if falls and rises:
            return "saddle"
        return "minimum" if rises else "maximum" if falls else "flat"

    @property
    def least(self) -> float:
        """The least |curvature| that counts: above rounding, and not negligible."""
        return max(self.rounding, self.negligible)

    def __str__(self) -> str:
        return (
            f"{self.kind}: loss {self.loss:.4g}, gradient norm {self.gradient_norm:.2g} (a step is "
            f"worth {self.decrease:.1g} of the loss), eigenvalues from {self.smallest} to "
            f"{self.largest}, with 99 % probability none below {self.smallest.bound:.4g} or above "
            f"{self.largest.bound:.4g} ({self.parameters} parameters, {self.steps} "
            f"Hessian-vector products by {self.method})"
        )

    def run_record(self) -> RunRecord:
        """The record for report and baseline; an eigenvalue below rounding is recorded as 0."""
        return RunRecord(
            metrics={
                "loss": (self.loss,),
                "largest eigenvalue": (self._rounded(self.largest),),
                "smallest eigenvalue": (self._rounded(self.smallest),),
                # As a name, so that another kind is a difference.
                f"kind: {self.kind}": (1.0,),
            },
            meta={
                **self.meta,
                "gradient norm": f"{self.gradient_norm:.3g}",
                "predicted decrease": f"{self.decrease:.2g}",
                "eigenvalues": f"{self.smallest} to {self.largest}",
                "parameters": str(self.parameters),
                "products": f"{self.steps} by {self.method}",
            },
        )

    def plot(self) -> Figure:
        """The outermost eigenvalues with their errors, and the bounds that hold for all others."""
        from pytest_initcheck.report.figures import intervals_figure

        ends = {"smallest": self.smallest, "largest": self.largest}
        return intervals_figure(
            {name: (one.value, one.error, one.bound) for name, one in ends.items()},
            "eigenvalue of the Hessian",
            f"{self.kind}: loss {self.loss:.4g}, gradient norm {self.gradient_norm:.2g}",
        )

    def __repr__(self) -> str:
        return f"CriticalPoint({self.kind}, loss {self.loss:.4g})"

    def _rounded(self, eigenvalue: Eigenvalue) -> float:
        return eigenvalue.value if abs(eigenvalue.value) > self.rounding else 0.0


def predicted_decrease(gradient: float, curvature: float, reach: float, loss: float) -> float:
    """The relative decrease of the loss by the best step along the gradient, ≥ 0.

    With ``curvature`` as upper bound of the second derivative, a step of length t gains at least
    ‖g‖t − curvature·t²/2; the best is t = ‖g‖/curvature, or ``reach`` where that is shorter
    (Nesterov: Introductory Lectures on Convex Optimization, 2004, section 1.2.3). Relative to
    ``loss`` ≥ 0; infinite where that is 0 and something can be gained.
    """
    length = reach if curvature * reach <= gradient else gradient / curvature
    gain = gradient * length - curvature * length**2 / 2
    if gain <= 0:
        return 0.0
    return gain / loss if loss else math.inf
