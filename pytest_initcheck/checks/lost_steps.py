"""Steps that are too small for the precision of the weights."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.loss_trajectory import TINY
from pytest_initcheck.records import Finding, Severity

# A network that lost three quarters came in 1,500 steps to 1.7, where .01 was possible.
_LOST_ERROR = 0.9
_LOST_WARNING = 0.5


class LostSteps:
    """Reads how much of the gradient lies on elements that stand still to the bit."""

    name = "lost steps"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC605",
            title="steps lost to rounding",
            cause="the weights are of less than single precision, and most steps are smaller than "
            "half of what tells a weight from the next one: they are rounded away, and never sum "
            "up",
            limit=f"at most {percent(_LOST_WARNING)} (error: {percent(_LOST_ERROR)}, and a loss "
            f"reduced by less than {percent(TINY)}) of the squared gradient on elements that no "
            "step moves",
            reference="IEEE 754: w + Δ equals w where |Δ| is below half a unit in the last place "
            "of w; Micikevicius et al.: Mixed Precision Training (2018), section 3.1",
            follows=frozenset({"IC104", "IC111", "IC501", "IC502", "IC504", "IC601", "IC808"}),
            quantity="squared gradient on elements of less than single precision which are bit for "
            "bit what they were, over that on all parameters that the optimiser holds",
            exempt="the default optimiser; optimisers that keep weights of higher precision, or "
            "what rounding took: what moves when the last step is repeated over and over",
            severities=("error", "warning"),
            remedy="keep the weights in single precision and compute under torch.autocast, or take "
            "an optimiser with a master copy, stochastic rounding or Kahan summation",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        share, losses = evidence.optimizer.lost_share, evidence.trajectory
        if not share > _LOST_WARNING or not losses.is_finite:
            return
        is_error = share > _LOST_ERROR and losses.is_tiny
        severity: Severity = "error" if is_error else "warning"
        yield self.rules[0].found(
            self.name,
            severity,
            (),
            "share of the squared gradient on elements that no step moves",
            measured=share,
            limit=_LOST_ERROR if is_error else _LOST_WARNING,
        )
