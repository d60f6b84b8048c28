"""Signals that grow from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import redraw
from pytest_initcheck.checks.rule import WRONG_SCALES, Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import has_normalisation
from pytest_initcheck.records import Finding

# What one layer adds to the output grows with what it gets: the curvature, whose inverse is the
# stable learning rate, with the square. A hundredfold signal costs a rate of 1e-4.
_GROWTH = 100.0


class Growth:
    """Follows the size of the signal where no loss of a constant prediction can be asked for."""

    name = "growth"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC405",
            title="exploding signal",
            cause="the weights multiply the signal from layer to layer, and no normalisation "
            "takes it back: the outputs are far from the scale of any target",
            limit=f"root mean square of the last layer's output at most {number(_GROWTH)} times "
            "that of the data, or of 1 where that is more",
            reference="LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 5, on the "
            "stable learning rate; He, Zhang, Ren, Sun: Delving Deep into Rectifiers (2015)",
            follows=frozenset(
                {
                    "IC104",
                    "IC111",
                    "IC201",
                    "IC303",
                    "IC404",
                    "IC501",
                    "IC502",
                    "IC503",
                    "IC701",
                    "IC703",
                }
            )
            | WRONG_SCALES,
            quantity="root mean square of each layer's output, relative to the data's",
            exempt="models with normalisation; what the model does to the output of its last layer",
            remedy="scale the weights by fan-in, such as torch.nn.init.kaiming_normal_(weight)",
            surrogate=True,
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        sizes = _sizes(evidence)
        if not sizes or has_normalisation(evidence):
            return
        inputs = evidence.start.inputs
        first = (inputs.rms or 0.0) if inputs else next(iter(sizes.values()))
        growth = {layer: size / max(first, 1.0) for layer, size in sizes.items()}
        last = list(growth)[-1]
        if growth[last] > _GROWTH:
            yield self.rules[0].found(
                self.name,
                "error",
                [layer for layer, value in growth.items() if value > _GROWTH],
                "root mean square of the last layer's output over the data's",
                measured=growth[last],
                limit=_GROWTH,
                profile=growth,
                code=redraw(evidence),
            )


def _sizes(evidence: Evidence) -> dict[str, float]:
    outputs = evidence.start.output_stats
    known = {layer: outputs[layer] for layer in evidence.order if layer in outputs}
    sizes = {layer: stats.rms for layer, stats in known.items() if stats.rms is not None}
    return {layer: size for layer, size in sizes.items() if math.isfinite(size)}
