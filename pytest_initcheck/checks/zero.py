"""Zero weights that no gradient can move, and constant weights that it can."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.code import filled, fresh_norms, redraw
from pytest_initcheck.checks.paths import is_norm, next_layers
from pytest_initcheck.checks.traits import depth_of, is_varied, largest_gradient, used_parameters
from pytest_initcheck.evidence import Evidence, Node, OutputLook, Parameter
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
            frozenset({"IC101", "IC104", "IC301", "IC501"}),
            quantity="share of the next layer's input that differs between samples",
            exempt="where something runs beside the zero gain, so that the last layer still sees "
            "samples that differ; batches whose samples are all alike",
        ),
        Rule(
            "IC107",
            "normalisation over one value",
            "a value less its own mean is zero: a normalisation over a single value hands on its "
            "bias, whatever it gets",
            "at least two values",
            "Ba, Kiros, Hinton: Layer Normalization (2016); Wu, He: Group Normalization (2018)",
            frozenset({"IC104", "IC501"}),
            quantity="values over which a layer or group normalisation takes mean and variance",
            exempt="as for IC102",
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
        if not is_varied(evidence) or not _is_constant(evidence):
            return
        zero = {p.name: p.layer for p in self._zeros(evidence) if not p.name.endswith("bias")}
        for node in evidence.nodes:
            is_gain = is_norm(node) or node.operator.rstrip("_") == "mul"
            gains = [zero[name] for name in node.params if name in zero and is_gain]
            if not gains and not (is_norm(node) and node.width == 1):
                continue
            readers = [o for o in _read_by(evidence, node) if o.variation is not None]
            if readers and all(o.variation == 0 for o in readers):
                yield self._gain(evidence, gains, node) if gains else self._single(evidence, node)
                return

    def _gain(self, evidence: Evidence, gains: list[str], node: Node) -> Finding:
        return self.rules[1].found(
            self.name,
            "error",
            gains,
            "share of the next layer's input that differs between samples",
            0.0,
            0.0,
            remedy="start the gain at one: torch.nn.init.ones_(norm.weight)",
            code=fresh_norms(evidence, node.params)
            or filled([n for n in node.params if not n.endswith("bias")], 1),
        )

    def _single(self, evidence: Evidence, node: Node) -> Finding:
        return self.rules[2].found(
            self.name,
            "error",
            [evidence.parameters[name].layer for name in node.params[:1]] or [node.owner],
            "values under the normalisation",
            1,
            2,
            remedy="normalise over two features or more, or leave the normalisation out",
        )

    def _zeros(self, evidence: Evidence) -> Iterator[Parameter]:
        for parameter in evidence.parameters.values():
            stats = evidence.start.parameters[parameter.name].stats
            if parameter.trainable and stats is not None and stats.n and stats.zero_share == 1:
                yield parameter


def _is_constant(evidence: Evidence) -> bool:
    """Whether the last layer sees the same input for all samples before the first step."""
    outputs = evidence.start.outputs
    known = [layer for layer in evidence.order if layer in outputs]
    return bool(known) and outputs[known[-1]].variation == 0


def _read_by(evidence: Evidence, node: Node) -> list[OutputLook]:
    outputs = evidence.start.outputs
    return [outputs[n.layer] for n in next_layers(evidence, node) if n.layer in outputs]
