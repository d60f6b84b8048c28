"""Trainable weights that the optimiser does not move."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.traits import largest_gradient, silent_layers, used_parameters
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding


class Movement:
    """A parameter with a gradient that stays where it was."""

    name = "movement"
    rules = (
        Rule(
            "IC601",
            "weights that do not move",
            "the weights get a gradient but stay as they were: the optimiser does not hold them, "
            "its learning rate is zero, or the step is below the resolution of their numbers",
            "update ratio ‖w − w₀‖ / ‖w₀‖ above 0",
            "Sculley et al.: Hidden Technical Debt (2015); Karpathy: A Recipe for Training (2019)",
            frozenset({"IC101", "IC301", "IC401", "IC501", "IC503", "IC504", "IC402", "IC403"}),
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        used, silent = used_parameters(evidence), set(silent_layers(evidence))
        ratios = {
            f"{layer.name}.{short}" if layer.name != short else short: ratio
            for layer in evidence.after.layers
            for short, ratio in layer.update_ratio.items()
        }
        stuck = [
            p.layer
            for p in evidence.parameters.values()
            if p.trainable and p.axis is not None and p.name in used and p.layer not in silent
            and ratios.get(p.name) == 0 and (largest_gradient(evidence, p) or 0) > 0
        ]  # fmt: skip
        if stuck:
            yield self.rules[0].found(
                self.name,
                "error",
                tuple(dict.fromkeys(stuck)),
                "update ratio",
                0.0,
                remedy="pass every trainable parameter to the optimiser, with a learning rate "
                "that the weights' precision can resolve",
            )
