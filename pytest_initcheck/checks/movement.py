"""Trainable weights that the optimiser does not move."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.traits import largest_gradient, silent_layers, used_parameters
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding, Severity

_BROKEN = frozenset({"IC101", "IC301", "IC401", "IC501", "IC503", "IC504", "IC402", "IC403"})

# Large rates may raise the loss for a step and still converge; not several times over.
_BLOWN = 5.0


class Movement:
    """Parameters with a gradient that stay where they were."""

    name = "movement"
    rules: tuple[Rule, ...] = (
        Rule(
            "IC601",
            "nothing moves",
            "gradients arrive, but no weight changes: the learning rate is zero, or too small for "
            "the precision of the weights, or the optimiser holds other tensors",
            "some weight with update ratio ‖w − w₀‖ / ‖w₀‖ above 0",
            "IEEE 754: w + Δ equals w where |Δ| is below half a unit in the last place of w",
            _BROKEN,
        ),
        Rule(
            "IC602",
            "weights that the optimiser does not move",
            "the weights are trainable and get a gradient, but the optimiser does not hold them, "
            "or with a learning rate of zero",
            "every trainable parameter held with a learning rate above 0",
            "torch.optim: parameters are passed to the constructor",
            _BROKEN | {"IC601"},
        ),
        Rule(
            "IC603",
            "the first steps blow the loss up",
            "within the first steps the loss on the very batch that they minimise grows several "
            "times over: the learning rate is too large for these weights and these data",
            "loss during the steps at most five times the first loss or chance, with the "
            "optimiser that was passed",
            "LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 5: a step beyond "
            "twice the inverse curvature diverges",
            _BROKEN | {"IC502", "IC701", "IC702", "IC703", "IC704", "IC404"},
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._blown(evidence)
        used, silent = used_parameters(evidence), set(silent_layers(evidence))
        driven = [
            p
            for p in evidence.parameters.values()
            if p.trainable and p.name in used and p.layer not in silent
            and (largest_gradient(evidence, p) or 0) > 0
        ]  # fmt: skip
        moved = [r for layer in evidence.after.layers for r in layer.update_ratio.values()]
        if driven and not any(moved):
            yield self._stuck(0, "error", [p.layer for p in driven], "largest update ratio")
        idle = [p.layer for p in driven if not evidence.rates.get(p.name) and p.axis is not None]
        if idle:
            yield self._stuck(1, "warning", idle, "learning rate")

    def _blown(self, evidence: Evidence) -> Iterator[Finding]:
        losses = [look.loss for look in evidence.looks]
        if evidence.is_default_optimizer or not math.isfinite(losses[0]):
            return
        start = max(abs(losses[0]), evidence.loss.chance or 0.0)
        worst = max(loss if math.isfinite(loss) else math.inf for loss in losses)
        if start and worst > _BLOWN * start:
            yield self.rules[2].found(
                self.name,
                "error",
                (),
                "largest loss during the steps over the first",
                worst / start,
                _BLOWN,
                remedy="divide the learning rate by ten until the first steps reduce the loss",
            )

    def _stuck(self, index: int, severity: Severity, layers: list[str], quantity: str) -> Finding:
        return self.rules[index].found(
            self.name,
            severity,
            tuple(dict.fromkeys(layers)),
            quantity,
            0.0,
            0.0,
            remedy="pass every trainable parameter to the optimiser, with a learning rate that "
            "the weights' precision can resolve; freeze what is not to move (requires_grad_)",
        )
