"""Layers whose bounded nonlinearity runs where it is flat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_initcheck.checks.remedy_code import drawn_small, redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.transmission import Transmission, transmissions
from pytest_initcheck.evidence import Evidence, Node, SiteKey
from pytest_initcheck.evidence.gradient_flow import (
    between,
    is_bridge,
    is_gate,
    last_layer,
    makers,
    normalises,
    producers,
)
from pytest_initcheck.evidence.signals import is_class_loss
from pytest_initcheck.records import Finding

_SOURCE = "Glorot, Bengio: Understanding the difficulty of training deep networks (2010)"
# A layer that passes less than a tenth of the gradient costs the layers below a decade each.
_ERROR = 0.1
OPEN = 0.25
# Attention that is uniform has relative slope 1; with one weight near 1 it falls towards 0.
_ATTENTION = 0.5
# Gates closed or opened by a bias agree; saturation by weights throws units to both ends.
_BOTH_ENDS = 0.25


class Saturation:
    """Judges each unit by the slope of its own nonlinearity, relative to the steepest."""

    name = "saturation"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC303",
            title="saturated layer",
            cause="what enters the nonlinearity is so large that most units sit where it is flat, "
            "and their gradient is lost",
            limit="half of the units pass at least a tenth of the gradient they could (warning: a "
            "quarter)",
            reference=_SOURCE,
            follows=frozenset({"IC104", "IC201", "IC501", "IC502", "IC701"}),
            quantity="median over the units of the mean slope of the nonlinearity, relative to its "
            "steepest",
            exempt="the model's output; gates that a bias holds open or shut, such as the forget "
            "gate of an LSTM; nonlinearities that are not bounded on both sides",
            severities=("error", "warning"),
            remedy="draw the weights with torch.nn.init.xavier_uniform_(weight), or reduce σ",
            surrogate=True,
            confirms=True,
        ),
        Rule(
            id="IC305",
            title="saturated attention",
            cause="the scores are so large that the softmax puts nearly all weight on one "
            "position, and its gradient is lost",
            limit="mean of 1 − Σp², relative to uniform attention, at least one half",
            reference="Vaswani et al.: Attention Is All You Need (2017), section 3.2.1",
            follows=frozenset({"IC104", "IC501", "IC502", "IC701"}),
            quantity="mean over all softmaxes of 1 − Σp², relative to that of equal weights",
            exempt="a softmax on the output, or over a single position; scores of normalised "
            "queries and keys, whose gain is a temperature to learn; masked positions do not count",
            severities=("warning",),
            remedy="divide the scores by the square root of the head's width",
        ),
        Rule(
            id="IC306",
            title="softmax over one unit",
            cause="a softmax over a single value is always 1: the output is constant and no "
            "gradient comes from it",
            limit="at least two units (warning where other paths lead round the softmax)",
            reference="by definition of softmax",
            quantity="values under a softmax that ends the model, or that follows a layer of one "
            "unit; classes of a cross-entropy",
            exempt="attention over a single position",
            severities=("error", "warning"),
            remedy="use a sigmoid (BCEWithLogitsLoss) for one output, or two outputs",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        passed = transmissions(evidence)
        # What ends the model loses its slope only to a loss that leaves it in.
        is_open = {key: p for key, p in passed.items() if p.is_inside or _is_squared(evidence)}
        flat = {
            key: p
            for key, p in is_open.items()
            if p.family == "squashing" and p.median < OPEN and not _is_biased_gate(evidence, key)
        }
        yield from self._attention(evidence, passed)
        yield from self._single(evidence)
        worst = {key: p for key, p in flat.items() if p.median < _ERROR and p.is_inside}
        if worst or flat:
            yield self._saturated(evidence, worst or flat, is_error=bool(worst))

    def _saturated(
        self, evidence: Evidence, found: dict[SiteKey, Transmission], *, is_error: bool
    ) -> Finding:
        layers = {key.layer or key.owner: (key, passed) for key, passed in found.items()}
        key, passed = next(iter(layers.values()))
        limit = _ERROR if is_error else OPEN
        return self.rules[0].found(
            self.name,
            "error" if is_error else "warning",
            tuple(layers),
            f"median relative slope of the {key.nonlinearity}",
            measured=passed.median,
            limit=limit,
            units=tuple(int(unit) for unit in np.flatnonzero(passed.start < limit)),
            code=redraw(evidence, layers),
        )

    def _attention(
        self, evidence: Evidence, passed: dict[SiteKey, Transmission]
    ) -> Iterator[Finding]:
        slopes: dict[str, float] = {}
        scales: list[str] = []
        for key, softmax in passed.items():
            if softmax.family != "softmax" or not softmax.is_inside or softmax.width < 2:
                continue
            made = makers(evidence, key)
            if softmax.mean < _ATTENTION and not any(_has_temperature(evidence, n) for n in made):
                slopes[key.owner or key.layer] = softmax.mean
                scales += [p for node in made for p in _scores(evidence, node)]
        if slopes:
            yield self.rules[1].found(
                self.name,
                "warning",
                tuple(slopes),
                "mean relative slope of the softmax",
                measured=next(iter(slopes.values())),
                limit=_ATTENTION,
                profile=slopes,
                code=drawn_small(list(dict.fromkeys(scales))),
            )

    def _single(self, evidence: Evidence) -> Iterator[Finding]:
        places = [node for node in evidence.nodes if _is_over_one_unit(evidence, node)]
        facts = evidence.objective
        over_one = (is_class_loss(evidence) and evidence.loss.classes == 1) or (
            facts is not None and facts.is_over_one
        )
        if places or over_one:
            layer = places[0].owner or places[0].layer if places else last_layer(evidence)
            is_cut = over_one or any(is_bridge(evidence, node) for node in places)
            yield self.rules[2].found(
                self.name,
                "error" if is_cut else "warning",
                (layer,),
                "units under the softmax",
                measured=1,
                limit=2,
            )


def _has_temperature(evidence: Evidence, softmax: Node) -> bool:
    """Whether what is multiplied into the scores has been normalised, with a gain to learn."""
    return any(normalises(node) for node in between(evidence, softmax))


def _scores(evidence: Evidence, softmax: Node) -> list[str]:
    """The weights of the layers whose outputs make the scores."""
    return [
        name
        for node in producers(evidence, softmax)
        for name in node.params
        if len(evidence.parameters[name].shape) > 1 and evidence.parameters[name].trainable
    ]


def _is_over_one_unit(evidence: Evidence, node: Node) -> bool:
    """A softmax over one value that is the output, or the only unit of the layer before it.

    Attention over a single position is neither.
    """
    if "softmax" not in node.operator or node.width != 1:
        return False
    if node.index in evidence.ends:
        return True
    layers = producers(evidence, node)
    units = {
        evidence.parameters[name].shape[axis]
        for made in layers[:1]
        for name in made.params
        if (axis := evidence.parameters[name].axis) is not None
    }
    is_along_units = node.axis == -1 and node.shape[1:] != ()
    return len(layers) == 1 and units == {1} and is_along_units


def _is_squared(evidence: Evidence) -> bool:
    """Whether the loss leaves the slope of the output in: a logarithm cancels it."""
    facts = evidence.objective
    return facts is not None and facts.sides > 0 and not facts.is_logarithmic


def _is_biased_gate(evidence: Evidence, key: SiteKey) -> bool:
    site = evidence.start.sites.get(key)
    spread = site.output.std if site and site.output else None
    return spread is not None and spread < _BOTH_ENDS and is_gate(evidence, key)
