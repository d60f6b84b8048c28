"""What came out of asking whether a model can fit its own batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_initcheck.records import Curve, RunRecord, Verdict
from pytest_initcheck.records.display import Displayed

# The share of what there is to be learnt that counts as learnt from the inputs: least squares of
# noise on one of 64 independent features explain 1.6 % of it.
SEEN = 0.03
# Half of what lies between the best constant prediction and the floor: no prediction that
# ignores the inputs gets there, and a model that learns passes it on its way down, whether the
# last tenth is slow or not.
FITTED = 0.5
# Steps of all trials together: most sound models need a fifth of them.
MOST_STEPS = 300
# Fewer different inputs than this are told apart by chance.
FEWEST = 4
Outcome = Literal["learns", "fails", "undecided"]
# How one trial went. "falls": steadily, but not as far as was asked.
Course = Literal["fits", "falls", "stands still", "diverges"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Steps of one optimiser from the start: the loss before each step and after the last."""

    optimizer: str
    losses: Curve
    course: Course
    is_own: bool = False

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.losses) - 1

    @property
    def loss(self) -> float:
        """The lowest loss on the way; infinite where no loss was finite."""
        return min((x for x in self.losses if abs(x) < float("inf")), default=float("inf"))


@dataclass(frozen=True, kw_only=True)
class Learning(Displayed):
    """Whether a model can fit its own batch.

    ``plot()`` draws the loss of each trial, ``to_frame()`` tables it, a notebook shows the page.

    Attributes:
        outcome: "learns", "fails" or "undecided".
        reason: why, in words.
        first: the loss at the start.
        loss: the lowest loss reached, by the optimiser that ``optimizer`` names.
        constant: the loss of the best prediction that is the same for every sample, ``floor`` the
            lowest loss that these targets and the model's own last operations allow; None where
            that is not known.
        steps: how many steps were taken in all trials together.
        trials: the optimisers in the order in which they were tried.
        meta: model, loss, device and dtype, as a diagnosis records them.
    """

    outcome: Outcome
    reason: str
    first: float
    loss: float
    constant: float | None = None
    floor: float | None = None
    steps: int = 0
    optimizer: str = ""
    trials: tuple[Trial, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def own(self) -> Trial | None:
        """The trial of the optimiser that was passed, None where none was."""
        return next((trial for trial in self.trials if trial.is_own), None)

    @property
    def only_elsewhere(self) -> bool:
        """Whether it learns, but not with the optimiser that was passed."""
        own = self.own
        is_lost = own is not None and own.course in ("stands still", "diverges")
        return self.outcome == "learns" and is_lost

    @property
    def verdict(self) -> Verdict:
        """ "fail", "warn" where only another optimiser fits the batch, else "pass"."""
        if self.outcome == "fails":
            return "fail"
        return "warn" if self.only_elsewhere else "pass"

    @property
    def curves(self) -> dict[str, Curve]:
        """The loss of each trial, by its optimiser."""
        return {trial.optimizer: trial.losses for trial in self.trials}

    @property
    def bounds(self) -> str:
        """The losses that the one reached is held against, in words."""
        known = [f"at the start {self.first:.4g}"]
        if self.constant is not None:
            known.append(f"best constant prediction {self.constant:.4g}")
        if self.floor is not None:
            known.append(f"lowest possible {self.floor:.4g}")
        return "; ".join(known)

    @property
    def shown(self) -> dict[str, tuple[Curve, ...]]:
        """The curves as a report shows them; rounding decides how many steps they have."""
        return {f"loss, {name}": (curve,) for name, curve in self.curves.items()}

    def run_record(self) -> RunRecord:
        """The record for the report and the baseline."""
        bounds = {"constant prediction": self.constant, "lowest possible": self.floor}
        return RunRecord(
            shown=self.shown,
            metrics={
                # As a name, so that another outcome is a difference.
                f"outcome: {self.outcome}": (1.0,),
                **{name: (value,) for name, value in bounds.items() if value is not None},
            },
            meta={**self.meta, "steps taken": str(self.steps), "reason": self.reason},
        )

    def __repr__(self) -> str:
        return f"Learning({self.outcome}, loss {self.loss:.4g}, {self.steps} steps)"

    def __str__(self) -> str:
        by = f" by {self.optimizer}" if self.optimizer else ""
        return (
            f"{self.outcome}: loss {self.loss:.4g}{by}, {self.steps} steps in all "
            f"({self.bounds}): {self.reason}"
        )
