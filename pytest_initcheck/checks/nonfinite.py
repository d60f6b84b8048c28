"""NaN and infinite values in weights, activations, the loss or gradients at the start."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.checks.remedy_code import redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Node
from pytest_initcheck.evidence.gradient_flow import producers
from pytest_initcheck.records import Finding

# What the operation at which NaN is born says of the cause, and what to do.
_BIRTHS = (
    (
        ("softmax",),
        "every position of a row is masked: a softmax over minus infinity alone is NaN",
        "leave one position of each row unmasked, or put the finished row to zero by a where",
    ),
    (
        ("div", "reciprocal"),
        "a division by zero, as of a row by its own norm where the row is zero",
        "add a small constant to the divisor, or use torch.nn.functional.normalize",
    ),
    (
        ("sqrt", "log", "pow", "norm", "acos", "asin"),
        "a root, logarithm or angle outside its domain",
        "keep the argument inside the domain, such as by a small constant under the root",
    ),
    (("exp", "cosh", "sinh"), "an exponential overflows", ""),
)
_LOST = "the loss is NaN or infinite, as values before it are"
_PASSED_ON = "the gradients are NaN or infinite, as the loss is"
_IEEE = "IEEE 754: NaN and infinity spread through every later sum and product"


class NonFinite:
    """Reports the first place where NaN or infinity stands before any step is taken."""

    name = "nonfinite"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC501",
            title="non-finite weights",
            cause="a parameter holds NaN or infinity, as memory does that was never initialised",
            limit="no non-finite value",
            reference=_IEEE,
            follows=frozenset({"IC111"}),
            quantity="NaN and infinite values in parameters before the first step",
            exempt="buffers",
            remedy="initialise every parameter after creating it",
        ),
        Rule(
            id="IC502",
            title="non-finite activations",
            cause="a layer turns finite data into NaN or infinity: values overflow, or a "
            "logarithm, root or quotient leaves its domain",
            limit="no non-finite value",
            reference=_IEEE,
            follows=frozenset({"IC104", "IC111", "IC501"}),
            quantity="NaN and infinite values in the outputs of layers and nonlinearities",
            exempt="values that a mask puts at minus infinity before a softmax",
            remedy="reduce the scale of weights or inputs, or use a nonlinearity that stays finite",
        ),
        Rule(
            id="IC503",
            title="non-finite loss",
            cause="the loss is NaN or infinite although every layer's output is finite",
            limit="no non-finite value",
            reference=_IEEE,
            follows=frozenset({"IC104", "IC111", "IC501", "IC502"}),
            quantity="the loss before the first step",
            exempt="a loss that only later steps make infinite, which IC603 tells",
            remedy="use a loss that is computed from logits, and inputs in its domain",
        ),
        Rule(
            id="IC504",
            title="non-finite gradients",
            cause="the loss is finite but its gradient is not",
            limit="no non-finite value",
            reference=_IEEE,
            follows=frozenset({"IC104", "IC111", "IC501", "IC502", "IC503"}),
            quantity="NaN and infinite values in the gradients of parameters at the first look",
            exempt="frozen parameters",
            remedy="look for a root, logarithm or division at zero in the backward pass",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._weights(evidence)
        before = list(self._activations(evidence))
        yield from before
        if not math.isfinite(evidence.start.loss):
            yield self.rules[2].found(
                self.name,
                "error",
                (),
                f"the first loss is {evidence.start.loss}",
                cause=_LOST if before else "",
            )
        yield from self._gradients(evidence)

    def _weights(self, evidence: Evidence) -> Iterator[Finding]:
        bad = {}
        for parameter in evidence.parameters.values():
            stats = evidence.start.parameters[parameter.name].stats
            if stats is not None and stats.nonfinite:
                bad[parameter.name] = stats.nonfinite
        if bad:
            layers = tuple(dict.fromkeys(evidence.parameters[name].layer for name in bad))
            yield self._finding(0, layers, sum(bad.values()), redraw(evidence, layers))

    def _activations(self, evidence: Evidence) -> Iterator[Finding]:
        counts: dict[str, int] = {}
        for layer in evidence.order:
            output = evidence.start.output_stats.get(layer)
            if output is not None:
                counts[layer] = output.nonfinite
        for key, site in evidence.start.sites.items():
            if site.output is not None:
                name = key.layer or key.owner
                counts[name] = counts.get(name, 0) + site.output.nonfinite
        bad = tuple(name for name, count in counts.items() if count)
        born = _birth(evidence)
        if bad or born is not None:
            place = _place(evidence, born) if born is not None else bad[0]
            layers = tuple(dict.fromkeys((place, *bad) if place else bad))
            told, remedy = _cause(born)
            # Where they are born need not be where they were first counted.
            seen = place if counts.get(place) else bad[0] if bad else ""
            yield self.rules[1].found(
                self.name,
                "error",
                layers,
                f"non-finite values of {seen!r}" if seen else "non-finite values behind it",
                measured=counts[seen] if seen else None,
                limit=0 if seen else None,
                cause=told,
                remedy=remedy,
            )

    def _gradients(self, evidence: Evidence) -> Iterator[Finding]:
        bad: dict[str, int] = {}
        for parameter in evidence.parameters.values():
            gradient = evidence.start.parameters[parameter.name].gradient
            if gradient is not None and gradient.nonfinite:
                bad[parameter.layer] = bad.get(parameter.layer, 0) + gradient.nonfinite
        if bad:
            is_finite = math.isfinite(evidence.start.loss)
            cause = "" if is_finite else _PASSED_ON
            yield self._finding(3, tuple(bad), sum(bad.values()), cause=cause)

    def _finding(
        self,
        index: int,
        layers: tuple[str, ...],
        count: int,
        code: Remedy | str = "",
        cause: str = "",
    ) -> Finding:
        return self.rules[index].found(
            self.name,
            "error",
            layers,
            "non-finite values",
            measured=count,
            limit=0,
            code=code,
            cause=cause,
        )


def _birth(evidence: Evidence) -> Node | None:
    """The operation that made the first value that is not finite, where it was found."""
    return None if evidence.first_nonfinite is None else evidence.nodes[evidence.first_nonfinite]


def _place(evidence: Evidence, born: Node) -> str:
    """The layer at which it is born: the operation itself, or what it works on."""
    if born.is_layer:
        return born.layer
    made = producers(evidence, born)
    return made[0].layer if made else born.owner


def _cause(born: Node | None) -> tuple[str, str]:
    """What the operation says of the cause, and what to do; empty where it says nothing."""
    if born is None:
        return "", ""
    operator = born.operator.strip("_")
    for names, told, remedy in _BIRTHS:
        if any(name in operator for name in names):
            return f"{told} ({operator} in {born.owner or 'the model itself'})", remedy
    return "", ""
