"""Layers whose bounded nonlinearity runs where it is flat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pytest_initcheck.checks.base import Rule
from pytest_initcheck.checks.code import redraw
from pytest_initcheck.checks.traits import is_gate
from pytest_initcheck.evidence import Evidence, SiteKey, SiteLook
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
            "IC303",
            "saturated layer",
            "what enters the nonlinearity is so large that most units sit where it is flat, and "
            "their gradient is lost",
            "half of the units pass at least a tenth of the gradient they could (warning: a "
            "quarter)",
            _SOURCE,
            frozenset({"IC104", "IC201", "IC501", "IC502", "IC701"}),
            quantity="median over the units of the mean slope of the nonlinearity, relative to its "
            "steepest",
            exempt="the model's output; gates that a bias holds open or shut, such as the forget "
            "gate of an LSTM; nonlinearities that are not bounded on both sides",
            severities=("error", "warning"),
        ),
        Rule(
            "IC305",
            "saturated attention",
            "the scores are so large that the softmax puts nearly all weight on one position, "
            "and its gradient is lost",
            "mean of 1 − Σp², relative to uniform attention, at least one half",
            "Vaswani et al.: Attention Is All You Need (2017), section 3.2.1",
            frozenset({"IC104", "IC501", "IC502", "IC701"}),
            quantity="mean over all softmaxes of 1 − Σp², relative to that of equal weights",
            exempt="a softmax on the output; one over a single position",
            severities=("warning",),
        ),
        Rule(
            "IC306",
            "softmax over one unit",
            "a softmax over a single value is always 1: the output is constant and no gradient "
            "comes from it",
            "at least two units",
            "by definition of softmax",
            quantity="values under the softmax that ends the model",
            exempt="attention over a single position",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found: dict[str, tuple[SiteKey, SiteLook, float]] = {}
        for key, site in evidence.start.sites.items():
            if site.family == "softmax":
                yield from self._softmax(key, site)
            elif site.family == "squashing" and (site.is_inside or _is_squared(evidence)):
                slope = float(np.median(site.slope))
                if slope < OPEN and not _is_biased_gate(evidence, key, site):
                    found[key.layer or key.owner] = key, site, slope
        worst = {n: f for n, f in found.items() if f[2] < _ERROR and f[1].is_inside}
        for layers, is_error in ((worst, True), ({} if worst else found, False)):
            if layers:
                yield self._saturated(evidence, layers, is_error)

    def _saturated(
        self, evidence: Evidence, found: dict[str, tuple[SiteKey, SiteLook, float]], is_error: bool
    ) -> Finding:
        key, site, slope = next(iter(found.values()))
        limit = _ERROR if is_error else OPEN
        return self.rules[0].found(
            self.name,
            "error" if is_error else "warning",
            tuple(found),
            f"median relative slope of the {key.nonlinearity}",
            slope,
            limit,
            remedy="draw the weights with torch.nn.init.xavier_uniform_(weight), or reduce σ",
            units=tuple(int(unit) for unit in np.flatnonzero(site.slope < limit)),
            code=redraw(evidence, found),
        )

    def _softmax(self, key: SiteKey, site: SiteLook) -> Iterator[Finding]:
        slope = float(site.slope.mean())
        layer = (key.owner or key.layer,)
        if site.width == 1 and not site.is_inside:
            yield self.rules[2].found(
                self.name,
                "error",
                layer,
                "units under the softmax",
                1,
                2,
                remedy="use a sigmoid (BCEWithLogitsLoss) for one output, or two outputs",
            )
        elif site.is_inside and site.width > 1 and slope < _ATTENTION:
            yield self.rules[1].found(
                self.name,
                "warning",
                layer,
                "mean relative slope of the softmax",
                slope,
                _ATTENTION,
                remedy="divide the scores by the square root of the head's width",
            )


def _is_squared(evidence: Evidence) -> bool:
    """Whether the loss leaves the slope of the output in: a log loss cancels it."""
    targets = evidence.start.targets
    is_default = evidence.loss.name == "default" and targets and targets.dtype.startswith("float")
    return bool(is_default) or evidence.loss.name.lower() in ("mseloss", "mse_loss")


def _is_biased_gate(evidence: Evidence, key: SiteKey, site: SiteLook) -> bool:
    spread = site.output.std if site.output else None
    return spread is not None and spread < _BOTH_ENDS and is_gate(evidence, key)
