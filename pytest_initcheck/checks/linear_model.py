"""Layers that follow each other with nothing but sums between them: together they are one."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Node, Observed
from pytest_initcheck.evidence.gradient_flow import leading_to
from pytest_initcheck.records import Finding

_MATRICES = frozenset({"addmm", "mm", "mv", "addmv", "linear", "matmul", "bmm"})
# Of what can be learnt, the part that is as good as nothing.
_POOR = 0.2
# What a linear function of its input is.
_SUMS = frozenset(
    {"add", "sub", "neg", "mean", "sum", "cat", "stack", "view", "reshape", "_unsafe_view", "clone",
     "copy", "_to_copy", "expand", "permute", "transpose", "t", "squeeze", "unsqueeze", "slice",
     "select", "split", "native_dropout"}
)  # fmt: skip


class LinearModel:
    """Asks whether the whole model is one linear function, made of layers that add nothing."""

    name = "linear"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC307",
            title="layers without a nonlinearity between them",
            cause="from the inputs to the last layer the model is a linear function, whose layers "
            "are no factors of a smaller rank: however many there are, they represent what a "
            "single one does",
            limit="some nonlinearity, normalisation or product on the way from the inputs to the "
            f"last layer (warning where the best line reaches less than {percent(_POOR)} of what "
            "lies between the best constant and the floor, beyond what as many numbers reach by "
            "chance, and the steps were not seen to learn; else info)",
            reference="by associativity: W₂(W₁x + b₁) + b₂ = (W₂W₁)x + W₂b₁ + b₂",
            follows=frozenset({"IC104", "IC111", "IC501"}),
            quantity="trained layers of a model of sums and products with weights alone",
            exempt="a single layer; hidden layers that are narrower than what they stand between; "
            "convolutions and tables; frozen layers; a hidden layer that is an output, too",
            severities=("warning", "info"),
            remedy="put a nonlinearity such as torch.nn.ReLU() between the layers, or leave one "
            "layer out",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        layers = linear_layers(evidence)
        if not layers:
            return
        line = evidence.line
        is_poor = line is not None and line < _POOR
        share = "" if line is None else f", which reach {max(line, 0):.0%} of what can be learnt"
        yield self.rules[0].found(
            self.name,
            "warning" if is_poor and not evidence.trajectory.has_learnt else "info",
            layers,
            f"layers that are one linear function together{share}",
            counts_layers=True,
            limit=1,
        )


def linear_layers(evidence: Observed) -> tuple[str, ...]:
    """The layers of a linear model of which two are no factors of a smaller rank; else none."""
    heads = _heads(evidence)
    inside = _before(evidence, heads)
    involved = inside | set(heads)
    nodes = [node for node in evidence.nodes if node.index in involved]
    layers = [node for node in nodes if node.is_layer]
    names = tuple(node.layer for node in layers)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        return ()
    if not all(_is_linear(evidence, node) for node in nodes) or inside & evidence.output_nodes:
        return ()
    hidden = [node for node in layers if node.index in inside]
    return names if any(_is_wide(evidence, node, layers) for node in hidden) else ()


def _heads(evidence: Observed) -> list[int]:
    """The layers behind which no other comes."""
    behind: set[int] = set()
    heads = []
    for node in reversed(evidence.nodes):
        if node.is_layer and node.index not in behind:
            heads.append(node.index)
        if node.is_layer or node.index in behind:
            behind.update(node.inputs)
    return heads


def _before(evidence: Observed, heads: list[int]) -> set[int]:
    return leading_to(evidence, heads) - set(heads) - {-1}


def _is_linear(evidence: Observed, node: Node) -> bool:
    if node.is_layer:
        weights = [p for p in _weights(evidence, node) if len(p) == 2]
        is_plain = len(weights) == 1 and len(node.inputs) == 1
        return node.operator in _MATRICES and is_plain and _is_trained(evidence, node)
    return node.operator.rstrip("_") in _SUMS and not node.selects


def _is_trained(evidence: Observed, node: Node) -> bool:
    return any(p.trainable and len(p.shape) == 2 for p in evidence.trainable(node.layer))


def _weights(evidence: Observed, node: Node) -> list[tuple[int, ...]]:
    return [evidence.parameters[name].shape for name in node.params if name in evidence.parameters]


def _is_wide(evidence: Observed, node: Node, layers: list[Node]) -> bool:
    """Whether a hidden layer is no narrower than its input, or than all that is made of it."""
    mine = next(shape for shape in _weights(evidence, node) if len(shape) == 2)
    width = node.shape[-1] if node.shape else 0
    given = mine[0] if mine[1] == width else mine[1]
    readers = [other for other in layers if node.index in _before(evidence, [other.index])]
    made = sum(other.shape[-1] for other in readers if other.shape)
    return width >= min(given, made)
