"""Trainable weights that the optimiser does not move, or moves too far."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from pytest_initcheck.checks.cuts import unread_layers
from pytest_initcheck.checks.dropped_calls import dropped_calls
from pytest_initcheck.checks.prose import number, percent
from pytest_initcheck.checks.remedy_code import changed_setting
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.evidence.loss_trajectory import BLOWN, TINY
from pytest_initcheck.evidence.signals import (
    DIVERGES,
    DIVERGES_CLASSES,
    SPACING,
    divergence_limit,
    largest_gradient,
    overshoots,
    update_ratio,
    used_parameters,
)
from pytest_initcheck.records import Finding, Severity

_BROKEN = frozenset(
    {
        "IC101",
        "IC104",
        "IC111",
        "IC301",
        "IC401",
        "IC402",
        "IC403",
        "IC501",
        "IC503",
        "IC504",
        "IC701",
    }
)
# A weight that moves by this part of itself in a step needs ten (a hundred) million steps to
# become another one; float32 resolves 6e-8 of it.
_SLOW_ERROR = 1e-8
_SLOW_WARNING = 1e-7
# By this part it needs half a million. A rate of 1e-6 of Adam moves weights drawn by their fan-in,
# and tuned ones, by more; and where a step takes this part of what the loss has left, the loss
# needs as long.
_SLOW_ADAPTIVE = 2e-6
_SLOW_LOSS = 1e-5
# A saddle is left ever faster.
_FASTER = 1.5
_STRAY = (
    "the weights take part in the forward pass, but are not the model's: held in a plain list or "
    "dict, as a tensor that is no nn.Parameter, or made anew in each pass, so that "
    "model.parameters() does not list them and the optimiser does not get them"
)
_IDLE = (
    "the weights are trainable and get a gradient, but the optimiser does not hold them, or holds "
    "them with a learning rate of zero"
)
_PUT_BACK = (
    "the weights get a gradient, and the optimiser steps them by more than their precision can "
    "miss, but after the steps they are bit for bit what they were: something puts them back, such "
    "as a forward pass that rounds or copies into its own weights"
)
_LEAVE = "compute what the forward pass uses from the weight, and leave the weight itself alone"
_CALLS = (
    "calls of the layer whose result nothing reads, neither the output nor a later call, are the "
    "only ones to read a part of the data: that part is lost, as where a loop does not carry its "
    "state on, or keeps the last result alone"
)
_CARRY = "carry the state from call to call, or use the results of all of them"
# A step that is this many times what the weight's precision resolves cannot be lost by rounding.
_ABOVE_ROUNDING = 16.0
# Below this gradient an optimiser that divides by its size may add an eps that is larger.
_ABOVE_EPS = 1e-6
_OVERSHOT = (
    "gradient descent raises the loss on the very batch that it minimises, and the steps end no "
    "lower than they began: the learning rate is too large for the curvature of these weights and "
    "these data"
)
_SPIKED = (
    "a step raises the loss on the very batch that it minimises several times over: the learning "
    "rate is too large for these weights and these data"
)


class Movement:
    """Parameters with a gradient that stay where they were, or that the first steps throw away."""

    name = "movement"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC601",
            title="nothing moves",
            cause="gradients arrive, but the weights hardly change: the learning rate is zero, or "
            "too small for these gradients and the precision of the weights, or the optimiser "
            "holds other tensors",
            limit=f"some weight that a step moves by {number(_SLOW_ERROR)} of itself (warning "
            f"{number(_SLOW_WARNING)}; {number(_SLOW_ADAPTIVE)} with an optimiser that divides by "
            f"the size of the gradient, where a step also takes less than {number(_SLOW_LOSS)} of "
            "what the loss has left): below the first of these it would take "
            f"{number(1 / _SLOW_ERROR)} steps to become another weight",
            reference="IEEE 754: w + Δ equals w where |Δ| is below half a unit in the last place "
            "of w",
            follows=_BROKEN | {"IC809"},
            quantity="largest update ratio of a weight in a step, ‖w − w₀‖ / (steps · ‖w₀‖); for "
            "weights that start at zero relative to 1/√fan-in",
            exempt=f"a loss that has been reduced by {percent(TINY)} or more; layers without "
            "gradient",
            severities=("error", "warning"),
            remedy="pass every trainable parameter to the optimiser, with a learning rate that "
            "moves a weight by about a thousandth of itself in a step",
        ),
        Rule(
            id="IC602",
            title="weights that the optimiser does not move",
            cause="the weights are trainable and get a gradient, but the optimiser does not hold "
            "them, or with a learning rate of zero; layers in a plain list and plain tensors "
            "are not the model's",
            limit="every trainable parameter held with a learning rate above 0, and moved where a "
            f"step is {number(_ABOVE_ROUNDING)} times what the precision of the weight resolves",
            reference="torch.optim: parameters are passed to the constructor",
            follows=_BROKEN | {"IC601", "IC809"},
            quantity="trainable parameters with a gradient and a learning rate of zero, or none",
            exempt="frozen parameters; forward=, which may train one network of several; what the "
            "model does not hold and the optimiser does",
            severities=("warning",),
            remedy="keep layers in an nn.ModuleList and weights in an nn.Parameter, pass every "
            "trainable parameter to the optimiser with a learning rate above zero, and freeze what "
            "is not to move",
        ),
        Rule(
            id="IC603",
            title="the first steps blow the loss up",
            cause="within the first steps the loss on the very batch that they minimise grows "
            "several times over: the learning rate is too large for these weights and these data",
            limit=f"loss after the steps at most {number(BLOWN)} times the first loss or chance "
            "(warning: at any step from which it comes back), with the optimiser that was passed; "
            f"where gradient descent raises it, a rate of at most {number(DIVERGES)} times the "
            f"inverse of the largest curvature ({number(DIVERGES_CLASSES)} for classes)",
            reference="LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 5: a step "
            "beyond twice the inverse curvature diverges; Lewkowycz et al.: The large learning "
            "rate phase of deep learning: the catapult mechanism (2020): up to 4 times it a "
            "network may still recover, and a ReLU network up to 12 times",
            follows=_BROKEN
            | {"IC201", "IC303", "IC404", "IC502", "IC701", "IC702", "IC703", "IC704"},
            quantity="loss after the steps over the larger of the first loss and chance; "
            "the largest eigenvalue of the Hessian, if plain gradient descent raises the loss",
            exempt="the default optimiser, which nobody chose for this model; the curvature of "
            "models with normalisation, and under other optimisers than SGD",
            severities=("error", "warning"),
            remedy="divide the learning rate by ten until the first steps reduce the loss",
            confirms=True,
        ),
        Rule(
            id="IC604",
            title="a layer that nothing reads",
            cause="the layer runs, but what it makes reaches neither the model's output nor the "
            "loss: it was computed and dropped, or overwritten, and cannot be trained",
            limit="a path from every layer that the optimiser holds to the output or the loss "
            "(info with the default optimiser)",
            reference="by the chain rule",
            follows=_BROKEN,
            quantity="layers that ran, whose output no path leads from; share of a layer's calls "
            "that nothing reads, where they alone read a part of the data",
            exempt="calls behind forward=; layers under torch.no_grad; layers that the optimiser "
            "does not hold; outputs "
            "that the model returns and the loss does not use",
            severities=("warning", "info"),
            remedy="use what the layer makes, or take the layer out",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._blown(evidence)
        used = used_parameters(evidence)
        with_gradient = [
            p
            for p in evidence.parameters.values()
            if p.trainable and p.name in used and (largest_gradient(evidence, p) or 0) > 0
        ]  # fmt: skip
        weights = [p for p in with_gradient if len(p.shape) > 1] or with_gradient
        yield from self._slow(evidence, weights)
        yield from self._unmoved(evidence, with_gradient, weights)
        yield from self._unread(evidence)

    def _unmoved(
        self, evidence: Evidence, with_gradient: list[Parameter], weights: list[Parameter]
    ) -> Iterator[Finding]:
        """What no step moves: not the model's, of a rate of zero, or put back after each."""
        idle = [p.layer for p in with_gradient if not evidence.rates.get(p.name)]
        # A step of one network of several is no oversight.
        idle = [] if evidence.loss.is_forward else idle
        if strays := evidence.anomalies.get("stray", ()):
            yield self.rules[1].found(
                self.name, "warning", strays, "parameters that the model does not hold",
                counts_layers=True, limit=0, cause=_STRAY,
            )  # fmt: skip
        elif idle:
            yield self.rules[1].found(
                self.name, "warning", tuple(dict.fromkeys(idle)), "learning rate",
                measured=0.0, limit=0.0, cause=_IDLE,
            )  # fmt: skip
        elif back := [p.layer for p in weights if _is_put_back(evidence, p)]:
            yield self.rules[1].found(
                self.name, "warning", tuple(dict.fromkeys(back)), "update ratio of the steps",
                measured=0.0, limit=0.0, cause=_PUT_BACK, remedy=_LEAVE,
            )  # fmt: skip

    def _unread(self, evidence: Evidence) -> Iterator[Finding]:
        """Layers, or calls of them, whose output goes nowhere."""
        if unread := unread_layers(evidence):
            # Libraries build heads that some tasks drop; who chose an optimiser pays for them.
            severity: Severity = "info" if evidence.is_default_optimizer else "warning"
            yield self.rules[3].found(
                self.name,
                severity,
                unread,
                "layers whose output nothing reads",
                counts_layers=True,
                limit=0,
            )
        elif calls := dropped_calls(evidence):
            yield self.rules[3].found(
                self.name, "warning", tuple(calls), "share of the layer's calls that nothing reads",
                measured=max(calls.values()), limit=0.0, cause=_CALLS, remedy=_CARRY,
            )  # fmt: skip

    def _slow(self, evidence: Evidence, weights: list[Parameter]) -> Iterator[Finding]:
        steps = len(evidence.snapshots) - 1
        ratios = {p.layer: _ratio(evidence, p) / steps for p in weights}
        largest = max(ratios.values(), default=math.inf)
        losses = evidence.trajectory
        limit = _SLOW_ADAPTIVE if _is_rate_alone(evidence) else _SLOW_WARNING
        if largest >= limit or (losses.falls and not losses.is_tiny):
            return
        severity: Severity = "error" if largest < _SLOW_ERROR else "warning"
        yield self.rules[0].found(
            self.name,
            severity,
            tuple(ratios),
            "largest update ratio in a step",
            measured=largest,
            limit=_SLOW_ERROR if severity == "error" else limit,
            profile=ratios,
            code=changed_setting("lr", "= max(group['lr'], 0.01)"),
        )

    def _blown(self, evidence: Evidence) -> Iterator[Finding]:
        losses, sharpness = evidence.trajectory, evidence.sharpness or 0.0
        cause = ""
        if losses.blown_up:
            quantity, measured, limit = (
                "last loss of the steps over the first",
                losses.blown_up,
                BLOWN,
            )
        elif overshoots(evidence):
            quantity = "learning rate times the largest curvature, over 1 + momentum"
            measured, limit = sharpness, divergence_limit(evidence)
            cause = _OVERSHOT
        elif losses.spiked:
            quantity = "largest loss during the steps over the first"
            measured, limit = losses.spiked, BLOWN
            cause = _SPIKED
        else:
            return
        is_error = losses.blown_up > 0 or overshoots(evidence) or not losses.recovers
        yield self.rules[2].found(
            self.name,
            "error" if is_error else "warning",
            (),
            quantity,
            measured=measured,
            limit=limit,
            cause=cause,
            code=changed_setting("lr", "/= 100"),
        )


def _is_rate_alone(evidence: Evidence) -> bool:
    """Whether small steps are the work of the rate, as the loss says, and not of a plateau.

    Plain gradient descent is slow where the gradient is small, which may pass; other optimisers
    divide by its size.
    """
    losses, holding = evidence.trajectory, evidence.optimizer
    if evidence.is_default_optimizer or holding.is_descent or not losses.is_finite:
        return False
    gap = abs(losses.first - (losses.floor or 0.0))
    falls = [before - after for before, after in itertools.pairwise(losses.losses)]
    is_slow = sum(falls) < _SLOW_LOSS * gap * len(falls)
    return is_slow and falls[-1] <= _FASTER * max(falls[0], 0.0)


def _is_put_back(evidence: Evidence, parameter: Parameter) -> bool:
    """Whether a weight has not moved at all, although its steps are no matter of rounding."""
    rate = evidence.rates.get(parameter.name) or 0.0
    looks = [look.parameters[parameter.name] for look in evidence.snapshots]
    gradients = [look.gradient.rms or 0.0 for look in looks[:-1] if look.gradient is not None]
    stats = looks[0].stats
    if _ratio(evidence, parameter) or not gradients or stats is None or stats.rms is None:
        return False
    pull = max(gradients)
    step = rate * (pull if evidence.optimizer.is_descent else float(pull > _ABOVE_EPS))
    return step > _ABOVE_ROUNDING * SPACING.get(stats.dtype, 1.0) * stats.rms


def _ratio(evidence: Evidence, parameter: Parameter) -> float:
    """How far the steps moved a weight, relative to its start or, from zero, to 1/√fan-in."""
    ratio = update_ratio(evidence, parameter)
    if math.isfinite(ratio):
        return ratio
    stats = evidence.snapshots[-1].parameters[parameter.name].stats
    size = stats.rms if stats is not None else None
    return (size or 0.0) * math.sqrt(max(parameter.fan_in, 1)) if size is not None else math.inf
