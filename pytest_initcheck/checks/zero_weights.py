"""Zero weights that no gradient can move, and constant weights that it can."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.cuts import saw_padding
from pytest_initcheck.checks.remedy_code import filled, fresh_norms, redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Node, Parameter
from pytest_initcheck.evidence.gradient_flow import is_bridge, is_gain, next_layers
from pytest_initcheck.evidence.graph import is_norm
from pytest_initcheck.evidence.signals import depth_of, largest_gradient, used_parameters
from pytest_initcheck.records import Finding

_VANISHED = (
    "the layer uses weights that are made of its parameters, as by rounding, a mask or a product, "
    "and all of them are zero: so is what it makes, and every gradient"
)
_FINER = "take a finer step of rounding, or a mask and factors that leave some weights"


class ZeroWeights:
    """Zero weights are a fault only where they shut themselves off from the gradient.

    One zero matrix in a path gets a gradient at once (its input is not zero); two in series, or
    one before a nonlinearity that is flat at zero, keep each other's gradient at zero for ever.
    """

    name = "zero"
    # Weights that are zero and stay so are equal units as well.
    aspects = frozenset({"gradients", "symmetry"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC101",
            title="zero weights without gradient",
            cause="the weights are zero and so is their gradient, in every step: each factor of "
            "the product that would move them is zero",
            limit="some non-zero gradient within the steps taken",
            reference="Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4",
            follows=frozenset({"IC104", "IC111", "IC501", "IC306"}),
            quantity="largest |gradient| of the zero weights over all looks; largest weight as the "
            "layer uses it, where it is made of parameters",
            exempt="zero weights that receive a gradient within the steps (a zero head, one zero "
            "convolution, the B of a LoRA pair); frozen parameters, biases and gains; parameters "
            "that this batch does not reach",
            remedy="draw the weights from a distribution scaled by fan-in, such as "
            "torch.nn.init.kaiming_normal_(weight); leave at most one matrix of a path at zero",
        ),
        Rule(
            id="IC102",
            title="zero gain cuts the path",
            cause="the gain of a normalisation is zero and nothing runs beside it, so that what "
            "follows sees the same input for every sample; weight and bias may have been swapped",
            limit="a zero gain only where a residual connection passes the signal on",
            reference="Goyal et al.: Accurate, Large Minibatch SGD (2017), section 5.1, on zero "
            "gains in residual blocks",
            follows=frozenset({"IC101", "IC104", "IC111", "IC501"}),
            quantity="largest |gain| of a normalisation through which every path to the output "
            "runs",
            exempt="where something runs beside the zero gain, such as a residual connection; a "
            "gain of zero outside of normalisations, which its own gradient opens",
            remedy="start the gain at one: torch.nn.init.ones_(norm.weight)",
        ),
        Rule(
            id="IC107",
            title="normalisation over one value",
            cause="a value less its own mean is zero: a normalisation over a single value hands "
            "on its bias, whatever it gets",
            limit="at least two values",
            reference="Ba, Kiros, Hinton: Layer Normalization (2016); Wu, He: Group Normalization "
            "(2018)",
            follows=frozenset({"IC104", "IC111", "IC501"}),
            quantity="values over which a layer or group normalisation takes mean and variance",
            exempt="as for IC102",
            remedy="normalise over two features or more, or leave the normalisation out",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._cut(evidence)
        yield from self._vanished(evidence)
        used = used_parameters(evidence)
        stuck = [p for p in self._zeros(evidence) if p.name in used and len(p.shape) > 1]
        stuck = [
            p
            for p in stuck
            if largest_gradient(evidence, p) == 0 and not saw_padding(evidence, p.layer)
        ]
        if not stuck:
            return
        rule = self.rules[0]
        layers = tuple(sorted({p.layer for p in stuck}, key=depth_of(evidence)))
        yield rule.found(
            self.name,
            "error",
            layers,
            "largest gradient of the zero weights",
            measured=0.0,
            limit=0.0,
            code=redraw(evidence, layers),
        )

    def _vanished(self, evidence: Evidence) -> Iterator[Finding]:
        gone = [
            layer
            for layer in evidence.anomalies.get("vanished", ())
            if not any(
                largest_gradient(evidence, p)
                for p in evidence.trainable(layer)
                if p.axis is not None
            )
        ]
        if gone:
            yield self.rules[0].found(
                self.name, "error", gone, "largest weight as the layer uses it",
                measured=0.0, limit=0.0, cause=_VANISHED, remedy=_FINER,
            )  # fmt: skip

    def _cut(self, evidence: Evidence) -> Iterator[Finding]:
        zero = {p.name: p.layer for p in self._zeros(evidence) if not p.name.endswith("bias")}
        for node in evidence.nodes:
            gains = [zero[name] for name in _gains(node) if name in zero]
            is_cut = gains and is_gain(evidence, node) and _is_zero(evidence, node)
            if (is_cut or (is_norm(node) and node.width == 1)) and is_bridge(evidence, node):
                yield self._gain(evidence, gains, node) if gains else self._single(evidence, node)
                return

    def _gain(self, evidence: Evidence, gains: list[str], node: Node) -> Finding:
        return self.rules[1].found(
            self.name,
            "error",
            gains,
            "largest |gain|",
            measured=0.0,
            limit=0.0,
            code=fresh_norms(evidence, node.params)
            or filled([n for n in node.params if not n.endswith("bias")], 1),
        )

    def _single(self, evidence: Evidence, node: Node) -> Finding:
        return self.rules[2].found(
            self.name,
            "error",
            [evidence.parameters[name].layer for name in node.params[:1]] or [node.owner],
            "values under the normalisation",
            measured=1,
            limit=2,
        )

    def _zeros(self, evidence: Evidence) -> Iterator[Parameter]:
        for parameter in evidence.parameters.values():
            stats = evidence.start.parameters[parameter.name].stats
            if parameter.trainable and stats is not None and stats.n and stats.zero_share == 1:
                yield parameter


def _gains(node: Node) -> tuple[str, ...]:
    """The parameters that may be a node's gain, which normalisations get before their bias."""
    return node.params[:1] if is_norm(node) and len(node.params) > 1 else node.params


def _is_zero(evidence: Evidence, node: Node) -> bool:
    """Whether the gain is zero as it is used; one written by hand may be stored as 1 + w."""
    read = [evidence.start.outputs.get(n.layer) for n in next_layers(evidence, node)]
    known = [output.variation for output in read if output is not None]
    return (is_norm(node) or bool(known)) and all(variation == 0 for variation in known)
