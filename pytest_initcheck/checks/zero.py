"""Zero weights that no gradient can move, and constant weights that it can."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.traits import depth_of, largest_gradient, used_parameters
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.records import Finding


class ZeroWeights:
    """Zero weights are a fault only where they shut themselves off from the gradient.

    One zero matrix in a path gets a gradient at once (its input is not zero); two in series, or
    one before a nonlinearity that is flat at zero, keep each other's gradient at zero for ever.
    """

    name = "zero"
    rules = (
        Rule(
            "IC101",
            "zero weights without gradient",
            "the weights are zero and so is their gradient, in every step: each factor of the "
            "product that would move them is zero",
            "some non-zero gradient within the steps taken",
            "Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            frozenset({"IC501", "IC306"}),
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        used = used_parameters(evidence)
        stuck = [p for p in self._zeros(evidence) if p.name in used and p.axis is not None]
        stuck = [p for p in stuck if largest_gradient(evidence, p) == 0]
        if not stuck:
            return
        rule = self.rules[0]
        layers = tuple(sorted({p.layer for p in stuck}, key=depth_of(evidence)))
        yield rule.found(
            self.name,
            "error",
            layers,
            "largest gradient of the zero weights",
            0.0,
            remedy="draw the weights from a distribution scaled by fan-in, such as "
            "torch.nn.init.kaiming_normal_(weight); leave at most one matrix of a path at zero",
        )

    def _zeros(self, evidence: Evidence) -> Iterator[Parameter]:
        for parameter in evidence.parameters.values():
            stats = evidence.start.parameters[parameter.name].stats
            if parameter.trainable and stats is not None and stats.n and stats.zero_share == 1:
                yield parameter
