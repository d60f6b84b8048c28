"""Units and layers whose nonlinearity is flat on every sample of every look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from pytest_initcheck.checks.initial_loss import calm_loss
from pytest_initcheck.checks.prose import number, percent
from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.checks.remedy_code import fresh_norms, redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Array, Evidence, NonlinearityKey
from pytest_initcheck.evidence.gradient_flow import ending, gets_data, is_gate
from pytest_initcheck.evidence.nonlinearities import CAN_SHUT
from pytest_initcheck.evidence.signals import all_gone, is_class_loss, pushed_by
from pytest_initcheck.evidence.transmission import Transmission, transmissions
from pytest_initcheck.records import Finding

# Five standard errors: a chance of 3e-7 for each layer of a healthy model.
_Z = 5.0
# Drawn about zero, a unit is as likely on as off: more than this part off is not natural.
_NATURAL = 0.5
# What logits of a standard deviation of √3 cost: healthy initialisers stay below.
EXCESS = 1.5
# From so many dead units on the layer is as good as gone.
_MOST = 0.9
# With so many units, all of them dead by chance (one half each) is as rare as that.
_MANY = math.ceil(-math.log2(3e-7))


class DeadUnits:
    """Tells dead units from the natural sparsity of rectifiers.

    With weights drawn symmetrically about zero, negating a unit's weights is equally likely, and
    swaps "never active on these samples" with "always active". However alike the samples are, as
    many units are always on as never on, up to sampling error. A surplus of dead units shows a
    bias that pushes the layer down, and more than half of the units dead cannot be natural.
    """

    name = "dead"
    aspects = frozenset({"dead"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC301",
            title="dead layer",
            cause="no unit of the layer is active on any sample: nothing passes it, forward or "
            "backward",
            limit="some active unit",
            reference="Lu, Shin, Su, Karniadakis: Dying ReLU and Initialization (2019), arXiv "
            "1903.06733",
            follows=frozenset(
                {"IC101", "IC102", "IC104", "IC111", "IC501", "IC502", "IC503", "IC701"}
            ),
            quantity="share of units whose nonlinearity is flat on every sample of every look, and "
            "whose weights get no gradient",
            exempt=f"zeros after a rectifier as such; layers of fewer than {_MANY} units that "
            "still get a gradient, which chance can switch off; nonlinearities without a flat side",
            remedy="set the bias to zero and draw the weights with "
            "torch.nn.init.kaiming_normal_(weight, nonlinearity='relu')",
        ),
        Rule(
            id="IC302",
            title="dead units",
            cause="more units are never active than drawing their weights about zero explains: the "
            "layer's bias or the mean of its weights pushes them down",
            limit=f"{percent(_NATURAL)} of the units plus {number(_Z)} standard errors, and "
            f"{number(_Z)} standard errors more never active than always active",
            reference="Lu, Shin, Su, Karniadakis: Dying ReLU and Initialization (2019), arXiv "
            "1903.06733",
            follows=frozenset(
                {"IC101", "IC102", "IC104", "IC111", "IC301", "IC501", "IC502", "IC503", "IC701"}
            ),
            quantity="units that are never active, and those that are always active, over all "
            "samples of all looks",
            exempt="where as many units are always active as never: alike samples do that",
            severities=("error", "warning"),
            remedy="set the bias to zero, or draw the weights about zero; pass more samples to "
            "be surer",
        ),
        Rule(
            id="IC304",
            title="rectified output",
            cause="the output itself is rectified: it cannot fall below zero, and where it would "
            "it passes no gradient; the model can die within its first steps",
            limit="no rectifier on the output (error where all gradients are gone after the steps, "
            f"or where the first loss for classes is {number(EXCESS)} above that of the same "
            "outputs made smaller, since the large gradients push all wrong classes below zero at "
            "once)",
            reference="PyTorch documentation: CrossEntropyLoss expects unnormalised logits",
            follows=frozenset({"IC101", "IC104", "IC111", "IC301", "IC501", "IC502", "IC503"}),
            quantity="rectifiers between the last layer and the output, but for a softmax",
            exempt="a rectifier that a pooling follows, as in SqueezeNet",
            severities=("error", "warning"),
            remedy="return what enters the rectifier, and let the loss or the caller clamp it",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._output(evidence)
        gone: dict[str, Array] = {}
        partly: dict[str, tuple[Array, float]] = {}
        for key, passed in transmissions(evidence).items():
            if not _can_die(evidence, key, passed):
                continue
            name = pushed_by(evidence, key) or key.layer
            share, limit = passed.closed.mean(), _limit(passed.closed, passed.open)
            if passed.is_closed:
                gone[name] = passed.closed
            elif limit is not None and share > limit:
                partly[name] = passed.closed, limit
        most = {name: found for name, found in partly.items() if found[0].mean() >= _MOST}
        rest = {name: found for name, found in partly.items() if name not in most}
        for found in (most, rest):
            if found:
                yield self._partly(evidence, found)
        if gone:
            yield self._gone(evidence, gone)

    def _gone(self, evidence: Evidence, gone: dict[str, Array]) -> Finding:
        first = gone[next(iter(gone))]
        return self.rules[0].found(
            self.name,
            "error",
            tuple(gone),
            "share of units that no sample activates",
            measured=1.0,
            limit=_bound(len(first)),
            units=tuple(range(len(first))),
            code=_revived(evidence, gone),
        )

    def _output(self, evidence: Evidence) -> Iterator[Finding]:
        rectified = ending(evidence, "relu", "relu6", "clamp")
        if rectified is None:
            return
        gone, excess = all_gone(evidence), _excess(evidence)
        is_error = gone or excess > EXCESS
        quantity, measured, limit = "rectifiers on the output", 1.0, 0.0
        if gone:
            quantity, measured = "largest gradient after the steps", 0.0
        elif is_error:
            quantity, measured, limit = "first loss of a rectified output", excess, EXCESS
        yield self.rules[2].found(
            self.name,
            "error" if is_error else "warning",
            [rectified.layer or rectified.owner],
            quantity,
            measured=measured,
            limit=limit,
        )

    def _partly(self, evidence: Evidence, found: dict[str, tuple[Array, float]]) -> Finding:
        dead, limit = next(iter(found.values()))
        return self.rules[1].found(
            self.name,
            "error" if dead.mean() >= _MOST else "warning",
            tuple(found),
            "share of units that no sample activates",
            measured=float(dead.mean()),
            limit=limit,
            units=tuple(int(unit) for unit in np.flatnonzero(dead)),
            code=_revived(evidence, found),
        )


def _can_die(evidence: Evidence, key: NonlinearityKey, passed: Transmission) -> bool:
    """Rectifiers, and gates with a flat piece; a smooth gate may be nearly shut on purpose.

    What is rectified before any layer has run is data, such as a mask; what no data reach is
    a table that the model computes, such as one of positions.
    """
    if not key.layer or not gets_data(evidence, key):
        return False
    if passed.family == "rectifier":
        return key.nonlinearity in CAN_SHUT or not is_gate(evidence, key)
    return key.nonlinearity in ("hardsigmoid", "hardtanh") and is_gate(evidence, key)


def _revived(evidence: Evidence, layers: Iterable[str]) -> Remedy:
    named = set(layers)
    norms = [p.name for p in evidence.parameters.values() if p.layer in named and p.axis is None]
    return fresh_norms(evidence, norms) or redraw(evidence, named)


def _excess(evidence: Evidence) -> float:
    """By how much the first loss for classes is above that of the same outputs made smaller."""
    calm = calm_loss(evidence)
    return evidence.loss.initial - calm if calm is not None and is_class_loss(evidence) else 0.0


def _bound(count: int) -> float:
    # With too few units to tell chance from fault, one live unit is what is asked for.
    return min(1.0 - 1.0 / count, _NATURAL + _Z * 0.5 / math.sqrt(count))


def _limit(dead: Array, on: Array) -> float | None:
    """The largest natural share of dead units; None where the surplus over "on" is chance."""
    count = len(dead)
    surplus = float(dead.sum()) - float(on.sum())
    if surplus <= _Z * math.sqrt(float(dead.sum()) + float(on.sum())):
        return None
    # The natural share is certain only on one sample; a significant surplus needs no more slack.
    return _NATURAL if count >= _MANY else _bound(count)
