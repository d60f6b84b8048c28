"""Zero weights that no gradient can move, and constant weights that it can."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.code import fresh_norms, redraw
from pytest_initcheck.checks.traits import (
    depth_of,
    is_norm,
    is_varied,
    largest_gradient,
    next_layers,
    used_parameters,
)
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.records import Finding


class ZeroWeights:
    """Zero weights are a fault only where they shut themselves off from the gradient.

    One zero matrix in a path gets a gradient at once (its input is not zero); two in series, or
    one before a nonlinearity that is flat at zero, keep each other's gradient at zero for ever.
    """

    name = "zero"
    rules: tuple[Rule, ...] = (
        Rule(
            "IC101",
            "zero weights without gradient",
            "the weights are zero and so is their gradient, in every step: each factor of the "
            "product that would move them is zero",
            "some non-zero gradient within the steps taken",
            "Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            frozenset({"IC104", "IC501", "IC306"}),
            quantity="largest |gradient| of the zero weights over all looks",
            exempt="zero weights that receive a gradient within the steps (a zero head, one zero "
            "convolution, the B of a LoRA pair); frozen parameters, biases and gains; parameters "
            "that this batch does not reach",
        ),
        Rule(
            "IC102",
            "zero gain cuts the path",
            "the gain of a normalisation is zero and nothing runs beside it, so that what follows "
            "sees the same input for every sample; weight and bias may have been swapped",
            "a zero gain only where a residual connection passes the signal on",
            "Goyal et al.: Accurate, Large Minibatch SGD (2017), section 5.1, on zero gains in "
            "residual blocks",
            frozenset({"IC104", "IC501"}),
            quantity="share of the next layer's input that differs between samples",
            exempt="where a residual connection runs beside the zero gain; batches whose samples "
            "are all alike",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._cut(evidence)
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
            0.0,
            remedy="draw the weights from a distribution scaled by fan-in, such as "
            "torch.nn.init.kaiming_normal_(weight); leave at most one matrix of a path at zero",
            code=redraw(evidence, layers),
        )

    def _cut(self, evidence: Evidence) -> Iterator[Finding]:
        zero = {p.name: p.layer for p in self._zeros(evidence)}
        outputs = evidence.start.outputs
        if not is_varied(evidence):
            return
        for node in evidence.nodes:
            gains = [zero[name] for name in node.params if name in zero and is_norm(node)]
            if not gains:
                continue
            readers = [n for n in next_layers(evidence, node) if n.layer in outputs]
            if readers and all(outputs[n.layer].variation == 0 for n in readers):
                yield self.rules[1].found(
                    self.name,
                    "error",
                    gains,
                    "share of the next layer's input that differs between samples",
                    0.0,
                    0.0,
                    remedy="start the gain at one: torch.nn.init.ones_(norm.weight)",
                    code=fresh_norms(evidence, node.params),
                )
                return

    def _zeros(self, evidence: Evidence) -> Iterator[Parameter]:
        for parameter in evidence.parameters.values():
            stats = evidence.start.parameters[parameter.name].stats
            if parameter.trainable and stats is not None and stats.n and stats.zero_share == 1:
                yield parameter
