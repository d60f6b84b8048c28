"""Initialisation that was written where it has no effect, or over what has to stay zero."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding

_REMEDIES = (
    "initialise weight_g and weight_v, or use torch.nn.utils.parametrizations.weight_norm, "
    "which passes an assignment on",
    "zero the row after initialising: embedding.weight[embedding.padding_idx].zero_()",
)


class Leftovers:
    """Reads module facts from before the first forward pass, which hides them."""

    name = "leftovers"
    rules: tuple[Rule, ...] = (
        Rule(
            "IC103",
            "weights that are overwritten",
            "the weight is computed from weight_g and weight_v before each forward pass: what an "
            "initialiser wrote to it is lost",
            "weight equal to weight_g · weight_v / ‖weight_v‖ before the first forward pass",
            "PyTorch documentation: torch.nn.utils.weight_norm",
        ),
        Rule(
            "IC105",
            "padding row that is not zero",
            "the row of the padding index has been drawn like the others: padding adds noise, and "
            "no gradient will take it away",
            "row padding_idx all zero",
            "PyTorch documentation: torch.nn.Embedding, padding_idx",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for rule, remedy, kind in zip(
            self.rules, _REMEDIES, ("overwritten", "padding"), strict=True
        ):
            layers = evidence.oddities.get(kind, ())
            if layers:
                quantity = f"modules with {rule.title}"
                yield rule.found(
                    self.name, "warning", layers, quantity, len(layers), 0, remedy=remedy
                )
