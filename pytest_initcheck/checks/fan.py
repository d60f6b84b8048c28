"""Grouped convolutions whose initialiser counted the connections of all groups."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.code import drawn_like
from pytest_initcheck.checks.traits import is_norm, reached_from
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.records import Finding

# Below this the factor √groups is within what other initialisers differ by.
_GROUPS = 4
# Standard errors of a measured standard deviation, 1/√(2n) relative.
_Z = 4.0


class GroupedFan:
    """Recognises the signature of He's initialiser in fan-out mode, which ignores groups.

    torch.nn.init computes the fan-out of a convolution as out_channels · kernel size, which is
    too large by the number of groups: the weights come out too small by its square root. With a
    normalisation behind the layer that has no effect.
    """

    name = "fan"
    rules: tuple[Rule, ...] = (
        Rule(
            "IC106",
            "fan-out that ignores groups",
            "the standard deviation is that of fan-out over all groups, although each input "
            "channel feeds one group only: the weights are too small by the square root of the "
            "number of groups, and no normalisation follows",
            "standard deviation away from √(2 / (out_channels · kernel size)) by more than four "
            "standard errors, for four groups or more",
            "He, Zhang, Ren, Sun: Delving Deep into Rectifiers (2015), section 2.2",
            frozenset({"IC101", "IC104", "IC501"}),
            quantity="standard deviation of the weights of a grouped convolution",
            exempt="where a normalisation follows; other initialisers; fewer than four groups",
            severities=("warning",),
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        for parameter in evidence.parameters.values():
            stats = evidence.start.parameters[parameter.name].stats
            if parameter.groups < _GROUPS or len(parameter.shape) < 3 or not stats or not stats.std:
                continue
            wrong = math.sqrt(2 / (parameter.shape[0] * math.prod(parameter.shape[2:])))
            tolerance = _Z / math.sqrt(2 * stats.n)
            if abs(stats.std / wrong - 1) < tolerance and not _is_normalised(evidence, parameter):
                yield self.rules[0].found(
                    self.name,
                    "warning",
                    (parameter.layer,),
                    "standard deviation of the weights",
                    stats.std,
                    wrong * math.sqrt(parameter.groups),
                    remedy="pass mode='fan_in' to torch.nn.init.kaiming_normal_",
                    code=drawn_like({parameter.name: wrong * math.sqrt(parameter.groups)}),
                )


def _is_normalised(evidence: Evidence, parameter: Parameter) -> bool:
    made = [n for n in evidence.nodes if n.is_layer and parameter.name in n.params]
    return any(is_norm(node) for start in made for node in reached_from(evidence, start))
