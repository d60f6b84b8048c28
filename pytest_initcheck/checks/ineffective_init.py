"""Initialisation that was written where it has no effect, or over what has to stay zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_initcheck.checks.prose import number, percent
from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.evidence import DROPPING
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


class IneffectiveInit:
    """Reads module facts from before the first forward pass, which hides them."""

    name = "leftovers"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC103",
            title="weights that are overwritten",
            cause="the weight is computed from weight_g and weight_v before each forward pass: "
            "what an initialiser wrote to it is lost",
            follows=frozenset({"IC112"}),
            limit="weight equal to weight_g · weight_v / ‖weight_v‖ before the first forward pass",
            reference="PyTorch documentation: torch.nn.utils.weight_norm",
            quantity="modules whose weight differs from what weight_g and weight_v make",
            exempt="torch.nn.utils.parametrizations.weight_norm, where an assignment passes on to "
            "the two parts; what is written in place to its weight goes to a copy, and is not seen",
            severities=("warning",),
            remedy="initialise weight_g and weight_v, or use "
            "torch.nn.utils.parametrizations.weight_norm, which passes an assignment on",
        ),
        Rule(
            id="IC105",
            title="padding row that is not zero",
            cause="the row of the padding index has been drawn like the others: padding adds "
            "noise, and no gradient will take it away",
            limit="row padding_idx all zero",
            reference="PyTorch documentation: torch.nn.Embedding, padding_idx",
            quantity="embeddings whose row padding_idx holds a value other than zero",
            exempt="embeddings without padding_idx; tables that a checkpoint filled, where the "
            "model was passed as a factory",
            severities=("warning",),
            remedy="zero the row after initialising: "
            "embedding.weight[embedding.padding_idx].zero_()",
        ),
        Rule(
            id="IC108",
            title="dropout of nearly everything",
            cause=f"dropout takes {percent(DROPPING)} of the values or more: its argument is the "
            "share that is dropped, not the one that is kept",
            limit=f"a rate of dropout below {number(DROPPING)}",
            reference="Srivastava et al.: Dropout (2014), section A.4: 0.2 of inputs, 0.5 of "
            "hidden units",
            quantity=f"modules of dropout with a rate of at least {number(DROPPING)}",
            exempt="a rate of 1, which is told by what it does",
            severities=("warning",),
            remedy="pass the share that is to be dropped: p = 1 − keep_prob",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for rule, kind in zip(self.rules, ("overwritten", "padding", "dropping"), strict=True):
            layers = evidence.anomalies.get(kind, ())
            if kind == "padding":
                layers = tuple(layer for layer in layers if _was_drawn(evidence, layer))
            if layers:
                quantity = f"modules with {rule.title}"
                code = _mended(_CODES[kind], layers) if kind in _CODES else Remedy()
                yield rule.found(
                    self.name, "warning", layers, quantity, counts_layers=True, limit=0, code=code
                )


def _was_drawn(evidence: Evidence, layer: str) -> bool:
    """Whether a row of the table may have been: False where it is known to have been loaded."""
    facts = evidence.construction
    tables = [b for b in facts.of_layer(layer) if b.is_known] if facts else []
    return not tables or any(b.is_drawn or b.is_unseen or b.unwritten for b in tables)


def _mended(form: str, layers: Sequence[str]) -> Remedy:
    code = "\n".join(form.format(name=repr(layer)) for layer in layers)
    return Remedy(code, "model", tuple(layers))
