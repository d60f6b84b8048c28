"""Parts of the output and of the batch that are in no loss, because nobody said what to do."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding


class LeftOut:
    """Says what a loss that was guessed leaves out."""

    name = "left out"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC823",
            title="something was left out of the loss",
            cause="no loss was passed that says what to do with all that the model returns and the "
            "batch holds: one output was taken for the loss, and others that are trained, or items "
            "of the batch, are in no loss, so that what was diagnosed is not what is trained",
            limit="every trained output and every item of the batch used, or left out by a loss or "
            "a forward that was passed",
            reference="docs/what-goes-in.md",
            quantity="outputs with a gradient, and items of the batch, that the loss leaves out",
            exempt="a loss_fn or forward written by hand; models that return a loss or logits; the "
            "states and weights that torch's recurrent and attention layers return beside",
            severities=("warning",),
            remedy="pass loss_fn=lambda output, targets: … that uses all of them, as in training, "
            "or takes output[0] on purpose",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        left = evidence.loss.left_out
        if left:
            yield self.rules[0].found(
                self.name,
                "warning",
                (),
                f"left out of the loss: {', '.join(left)}",
                measured=len(left),
                limit=0,
            )
