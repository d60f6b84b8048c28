"""A batch that the program writes to, so that it is another one in the next epoch."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding


class Rewritten:
    """Reads which tensors of the batch two passes changed, one after the other."""

    name = "rewritten batch"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC109",
            title="the batch is changed in place",
            cause="model or loss write to a tensor of the batch, and once more in every pass: "
            "where the batch, or the data that it is a view of, are kept, each epoch sees other "
            "data",
            limit="what a pass leaves in the batch is what the next one leaves there",
            reference="PyTorch documentation: Tensor Views; operators that end in an underscore, "
            "and augmented assignments such as x -= …, write to the data of all views",
            quantity="tensors of the batch that one pass changes, and a second pass on the same "
            "tensors changes again, by more than rounding",
            exempt="what a second pass leaves as it is: ReLU, a clamp, centring, normalisation in "
            "place; dropout in place, which is off here; what is done before the batch is passed",
            severities=("warning",),
            remedy="work on a copy: x = x / 255 in place of x.div_(255), x = x - m in place of "
            "x -= m, inplace=False of the first activation; or clone the tensor first",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        places = evidence.inplace_inputs
        if places:
            yield self.rules[0].found(
                self.name,
                "warning",
                [],
                "tensors of the batch that every pass changes again",
                measured=float(len(places)),
                limit=0.0,
                cause=f"every pass writes to {' and '.join(places)} in place: where the batch, or "
                "the data that it is a view of, are kept, each epoch sees other data",
            )
