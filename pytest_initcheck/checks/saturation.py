"""Layers whose bounded nonlinearity runs where it is flat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_initcheck.checks.prose import percent
from pytest_initcheck.checks.remedy_code import drawn_small, redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Node, NonlinearityKey
from pytest_initcheck.evidence.gradient_flow import (
    between,
    is_bridge,
    last_layer,
    makers,
    producers,
)
from pytest_initcheck.evidence.graph import normalises
from pytest_initcheck.evidence.signals import is_class_loss
from pytest_initcheck.evidence.transmission import (
    OPEN,
    SHUT,
    Saturated,
    Transmission,
    saturated,
    transmissions,
)
from pytest_initcheck.records import Finding

_SOURCE = "Glorot, Bengio: Understanding the difficulty of training deep networks (2010)"
# Attention that is uniform has relative slope 1; with one weight near 1 it falls towards 0.
ATTENTION = 0.5


# What hands on the largest of several values.
_CHOOSING = frozenset({"topk", "max", "amax", "sort", "kthvalue"})


class Saturation:
    """Judges each unit by the slope of its own nonlinearity, relative to the steepest."""

    name = "saturation"
    aspects = frozenset({"saturation"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC303",
            title="saturated layer",
            cause="what enters the nonlinearity is so large that most units sit where it is flat, "
            "and their gradient is lost",
            limit=f"the median unit passes at least {percent(SHUT)} of the gradient that it could "
            f"(warning: {percent(OPEN)})",
            reference=_SOURCE,
            follows=frozenset({"IC104", "IC111", "IC201", "IC501", "IC502", "IC701"}),
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
            limit=f"mean of 1 − Σp², relative to uniform attention, at least {percent(ATTENTION)}",
            reference="Vaswani et al.: Attention Is All You Need (2017), section 3.2.1",
            follows=frozenset({"IC104", "IC111", "IC501", "IC502", "IC701"}),
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
            "unit, or the choice of one; classes of a cross-entropy",
            exempt="attention over a single position",
            severities=("error", "warning"),
            remedy="use a sigmoid (BCEWithLogitsLoss) for one output, or two outputs",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._attention(evidence, transmissions(evidence))
        yield from self._single(evidence)
        found = saturated(evidence)
        if found.sites:
            yield self._saturated(evidence, found)

    def _saturated(self, evidence: Evidence, found: Saturated) -> Finding:
        layers = {key.layer or key.owner: (key, passed) for key, passed in found.sites.items()}
        key, passed = next(iter(layers.values()))
        remedy, measured = self.rules[0].remedy, evidence.sigma_range
        return self.rules[0].found(
            self.name,
            "error" if found.limit == SHUT else "warning",
            tuple(layers),
            f"median relative slope of the {key.nonlinearity}",
            measured=passed.median,
            limit=found.limit,
            remedy=remedy if measured is None else f"{remedy}; measured: {measured}",
            units=tuple(int(unit) for unit in np.flatnonzero(passed.start < found.limit)),
            code=redraw(evidence, layers),
        )

    def _attention(
        self, evidence: Evidence, passed: dict[NonlinearityKey, Transmission]
    ) -> Iterator[Finding]:
        slopes: dict[str, float] = {}
        scales: list[str] = []
        for key, softmax in passed.items():
            if softmax.family != "softmax" or not softmax.is_inside or softmax.width < 2:
                continue
            made = makers(evidence, key)
            is_tempered = any(has_score_temperature(evidence, node) for node in made)
            if softmax.mean < ATTENTION and not is_tempered:
                slopes[key.owner or key.layer] = softmax.mean
                scales += [p for node in made for p in _scores(evidence, node)]
        if slopes:
            yield self.rules[1].found(
                self.name,
                "warning",
                tuple(slopes),
                "mean relative slope of the softmax",
                measured=next(iter(slopes.values())),
                limit=ATTENTION,
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


def has_score_temperature(evidence: Evidence, softmax: Node) -> bool:
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


def _is_of_choice(evidence: Evidence, node: Node) -> bool:
    """Whether the value is the largest of several, as a router's first choice is."""
    before = [evidence.nodes[index] for index in node.inputs if index >= 0]
    return any(source.operator in _CHOOSING and not source.selects for source in before)


def _is_over_one_unit(evidence: Evidence, node: Node) -> bool:
    """A softmax over one value that is the output, the only unit of the layer before it, or the
    only one that was chosen from several.

    Attention over a single position is none of these.
    """
    if "softmax" not in node.operator or node.width != 1:
        return False
    if node.index in evidence.output_nodes or _is_of_choice(evidence, node):
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
