"""Gradients that someone wrote, and that do not follow the loss."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding


class Handwritten:
    """Reads which gradients stayed as they were where the loss was turned round."""

    name = "handwritten"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC406",
            title="a gradient that does not follow the loss",
            cause="a backward that was written by hand makes the gradient without what comes in: "
            "it is the same for the loss and for its negative, so that the weights go where the "
            "loss does not send them",
            limit="the gradient of the negative loss is the negative of the gradient",
            reference="PyTorch documentation: Extending autograd (backward is given grad_output, "
            "and multiplies it by the Jacobian)",
            follows=frozenset({"IC104", "IC111", "IC401", "IC501", "IC502", "IC503", "IC504"}),
            quantity="parameters whose gradient is not turned round with the loss",
            exempt="models without a torch.autograd.Function; a loss whose backward leaves "
            "grad_output aside, as that of the last function may; straight-through, surrogate, "
            "clipped and sign gradients, which all turn with the loss",
            severities=("error",),
            remedy="multiply by grad_output in backward(ctx, grad_output), and hold it against "
            "torch.autograd.gradcheck",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        still = evidence.unturned
        if still:
            layers = dict.fromkeys(evidence.parameters[name].layer for name in still)
            yield self.rules[0].found(
                self.name,
                "error",
                tuple(layers),
                "parameters whose gradient is not turned with the loss",
                measured=len(still),
                limit=0,
            )
