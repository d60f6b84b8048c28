"""Layers, and calls of layers, to which no gradient comes back."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.cut_weights import CutWeight, cut_weights
from pytest_initcheck.checks.cuts import Cut, cuts, is_unreached
from pytest_initcheck.checks.depth import BROKEN
from pytest_initcheck.checks.detached_calls import LostCalls, lost_calls
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Node
from pytest_initcheck.records import RANK, Finding

_UNREACHED = (
    "the loss is computed from numbers that no gradient leads back from: no parameter of the "
    "model gets any"
)


class Unreached:
    """Judges the cuts between the forward graph and the autograd graph."""

    name = "cuts"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC401",
            title="layer without gradient",
            cause="the layer takes part in the output, but its gradient is exactly zero in every "
            "step",
            limit="some non-zero gradient within the steps taken (error where a detach, an index "
            "or a rebuilt tensor cuts off the layer or what its weights are made of, or where "
            "every path from the data to the output runs through it; warning where no_grad keeps "
            "it out, or where of a table the padding alone gets one; else info)",
            reference="by the chain rule, some factor on every path to the loss is zero",
            follows=BROKEN | {"IC303", "IC402", "IC403", "IC302", "IC703"},
            quantity="largest |gradient| of a layer's weights over all looks",
            exempt="layers that the loss does not ask for: an unused head, an expert without "
            "samples; a gradient that is zero before the first step and not after it; calls whose "
            "data others read that have a gradient; paths "
            "through indices, tensors without values, or attention over a single position",
            severities=("error", "warning", "info"),
            remedy="look for a detach, a zero factor or a flat nonlinearity between this "
            "layer and the loss",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found = sorted(cuts(evidence), key=lambda cut: RANK[cut.severity])
        if is_unreached(evidence) and not evidence.optimizer.is_frozen:
            quantity = "parameters that get a gradient"
            yield self.rules[0].found(
                self.name, "error", evidence.order, quantity, measured=0, limit=1, cause=_UNREACHED
            )
        elif found and found[0].severity != "info":
            yield self._cut(found)
        elif weights := cut_weights(evidence):
            yield self._cut_weights(weights)
        elif found:
            yield self._cut(found)
        elif lost := lost_calls(evidence):
            yield self._lost(lost)

    def _cut(self, found: list[Cut]) -> Finding:
        if found[0].kind == "padding":
            return self.rules[0].found(
                self.name,
                found[0].severity,
                [cut.layer for cut in found if cut.kind == "padding"],
                "rows of the table, beside that of a padding index, that get a gradient",
                measured=found[0].rows,
                limit=2,
                cause=_told(found[0]),
            )
        return self.rules[0].found(
            self.name,
            found[0].severity,
            [cut.layer for cut in found],
            "largest gradient over all steps",
            measured=0.0,
            limit=0.0,
            cause=_told(found[0]),
        )

    def _cut_weights(self, found: list[CutWeight]) -> Finding:
        found = sorted(found, key=lambda cut: RANK[cut.severity])
        names = ", ".join(repr(cut.parameter.name) for cut in found[:4])
        return self.rules[0].found(
            self.name,
            found[0].severity,
            tuple(dict.fromkeys(cut.parameter.layer for cut in found)),
            "largest gradient over all steps",
            measured=0.0,
            limit=0.0,
            cause=f"a gradient comes back to {_place(found[0].reader)}, but not to the parameters "
            f"that its weights are made of ({names}): they are read without their gradient, as "
            "after detach(), .data or under torch.no_grad",
            remedy="make the weights of their parameters inside of the graph, in every forward "
            "pass; freeze with requires_grad=False what is not to be trained",
        )

    def _lost(self, found: list[LostCalls]) -> Finding:
        source, reader = (_place(node) for node in found[0].edge)
        return self.rules[0].found(
            self.name,
            "warning",
            [lost.layer for lost in found],
            "share of the layer's calls to which a gradient comes back",
            measured=found[0].share,
            limit=1.0,
            cause="the output depends on all calls of the layer, and a part of the data is read by "
            f"those alone that get no gradient: what {source} makes goes on into {reader} without "
            "its gradient, as after detach()",
            remedy="leave the detach out within a sequence; between sequences it belongs",
        )


def _told(cut: Cut) -> str:
    """What happens on the way back to a layer, and where."""
    start = "the layer takes part in the output, but gets no gradient"
    source, reader = (_place(node) for node in cut.edge) if cut.edge else ("", "")
    return {
        "detached": f"{start}: what {source} makes goes on into {reader} without its gradient, as "
        "after detach(), .data or a tensor made of numbers",
        "shut off": f"{start}: it runs with gradients switched off, as under torch.no_grad, before "
        f"{reader}",
        "chosen": f"{start}: all that the output knows of the data goes through the indices or the "
        f"comparison that {reader} makes",
        "rebuilt": f"{start}: the output comes from the data through no operation that autograd "
        "sees, as when it is made of numbers",
        "numbers": f"{start}: the loss depends on what it makes through numbers, as after .item(), "
        ".tolist() or numpy()",
        "flat": "the layer takes part in the output, but its gradient is exactly zero in every "
        "step",
        "padding": "of all that the table gives, a gradient comes back to a single row, as that of "
        "the padding: a mask hides what it should keep, and keeps what it should hide",
    }[cut.kind]


def _place(node: Node) -> str:
    return f"{node.operator} in {node.owner or 'the model itself'}"
