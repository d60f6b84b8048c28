"""Initialisation that was written where it has no effect, or over what has to stay zero."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding

_CODES = {
    "overwritten": "layer = dict(model.named_modules())[{name}]\n"
    "with torch.no_grad():\n"
    "    weight = layer.weight.detach().clone()\n"
    "    layer.weight_v.copy_(weight)\n"
    "    axes = [i for i, n in enumerate(layer.weight_g.shape) if n == 1]\n"
    "    layer.weight_g.copy_(weight.norm(dim=axes, keepdim=True))",
    "padding": "layer = dict(model.named_modules())[{name}]\n"
    "with torch.no_grad():\n"
    "    layer.weight[layer.padding_idx].zero_()",
}


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
            quantity="modules whose weight differs from what weight_g and weight_v make",
            exempt="torch.nn.utils.parametrizations.weight_norm, where an assignment passes on to "
            "the two parts; what is written in place to its weight goes to a copy, and is not seen",
            severities=("warning",),
            remedy="initialise weight_g and weight_v, or use "
            "torch.nn.utils.parametrizations.weight_norm, which passes an assignment on",
        ),
        Rule(
            "IC105",
            "padding row that is not zero",
            "the row of the padding index has been drawn like the others: padding adds noise, and "
            "no gradient will take it away",
            "row padding_idx all zero",
            "PyTorch documentation: torch.nn.Embedding, padding_idx",
            quantity="embeddings whose row padding_idx holds a value other than zero",
            exempt="embeddings without padding_idx",
            severities=("warning",),
            remedy="zero the row after initialising: "
            "embedding.weight[embedding.padding_idx].zero_()",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for rule, kind in zip(self.rules, ("overwritten", "padding"), strict=True):
            layers = evidence.oddities.get(kind, ())
            if layers:
                quantity = f"modules with {rule.title}"
                code = "\n".join(_CODES[kind].format(name=repr(layer)) for layer in layers)
                yield rule.found(self.name, "warning", layers, quantity, len(layers), 0, code=code)
