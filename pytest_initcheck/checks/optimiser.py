"""What the optimiser holds and does: whose tensors, in which direction, and to what end."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks.prose import fraction, percent
from pytest_initcheck.checks.remedy_code import changed_setting
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.loss_trajectory import PROOF
from pytest_initcheck.evidence.signals import all_gone, largest_gradient
from pytest_initcheck.records import Finding, Severity

# Of the way from a constant to the floor, what may be left where nothing moves any more.
_DONE = 0.01
# Decay that takes so much of every weight in a step leaves half of it after 140 (35) steps.
_DECAY_WARNING = 5e-3
_DECAY_ERROR = 2e-2
# Of its own rate: all further steps together go as far as 50 (10) with the rate as it is.
_FADES_WARNING = 0.02
_FADES_ERROR = 0.1
# Above it the sum of both shortens the weights, whatever the loss says: by Cauchy and Schwarz.
_OUTWEIGHED = 1.0
# The cosine of step and gradient: descent has −1, and what is drawn at random none.
_UPHILL = 0.2
_FROZEN = "every parameter of the model is frozen (requires_grad=False): nothing can be trained"
_THAW = "leave some parameter trainable: parameter.requires_grad_(True)"
_EMPTY = "the optimiser holds no trainable parameter of the model: no step can change it"
_WEIGHTS = frozenset({"IC104", "IC111", "IC501", "IC502", "IC503", "IC504"})


_UNDAMPED = (
    "with a momentum of 1 or more no step is ever forgotten: about a minimum the weights swing "
    "without damping"
)


class Optimiser:
    """Judges the steps by what they did to finite gradients, and by what moves after them."""

    name = "optimiser"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC808",
            title="the optimiser makes NaN of finite gradients",
            cause="loss and gradients are finite, and the step that the optimiser makes of them "
            "is not: it divides by a zero of its own, such as a vanished eps, or its rate is not "
            "finite or takes the weights beyond what their precision holds",
            limit="finite weights after a step from finite weights and gradients",
            reference="IEEE 754: 0/0 is NaN; pytorch/pytorch#26218 on eps in half precision",
            follows=_WEIGHTS,
            quantity="weights that are not finite after the first such step",
            exempt="steps from gradients that are not finite (IC504)",
            remedy="pass an eps that the precision of the weights can hold (1e-8 is 0 in half "
            "precision), and a finite learning rate",
        ),
        Rule(
            id="IC809",
            title="the optimiser holds other tensors",
            cause="the optimiser holds no parameter of the model, or parameters that are not the "
            "model's any more: they were replaced after it was built, or belong to a copy; or "
            "all parameters are frozen",
            limit="the model's own trainable parameters",
            reference="torch.optim: parameters are passed to the constructor; zjunlp/HVPNeT#5",
            follows=_WEIGHTS,
            quantity="tensors that the optimiser holds, which are not the model's and get no "
            "gradient from this loss, beside parameters of the model that it does not hold",
            exempt="parameters of the loss; frozen parameters beside trainable ones",
            remedy="build the optimiser after the model is complete, from model.parameters()",
        ),
        Rule(
            id="IC810",
            title="nothing can move after the first steps",
            cause="after the steps no parameter gets any gradient, although some did at the "
            "start: the first steps have left the range in which there is one",
            limit="some gradient after the steps, or a loss at its floor",
            reference="by the chain rule; Lu, Shin, Su, Karniadakis: Dying ReLU and "
            "Initialization (2019)",
            follows=_WEIGHTS
            | {"IC101", "IC301", "IC302", "IC303", "IC304", "IC401", "IC601", "IC603", "IC701"}
            | {"IC702", "IC703", "IC704", "IC802", "IC804", "IC808", "IC809", "IC815"},
            quantity="largest gradient of all parameters in the last look",
            exempt=f"a loss within {percent(_DONE)} of its floor",
            remedy="take a smaller rate, outputs that are not clamped or rectified, and inputs "
            "and targets of unit scale",
        ),
        Rule(
            id="IC815",
            title="the optimiser works against the loss",
            cause="the steps go up the gradient, weight decay takes so much of every weight that "
            "nothing learnt will last, or the optimiser so much of its rate that it soon stands",
            limit="a step with a component down the gradient; decay that takes at most "
            f"{fraction(_DECAY_WARNING)} (error: {fraction(_DECAY_ERROR)}) of a weight in a step, "
            "and is smaller than the gradient that it is added to; a momentum below 1; a rate of "
            f"which a step takes at most {fraction(_FADES_WARNING)} (error: "
            f"{fraction(_FADES_ERROR)})",
            reference="Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019); Polyak: "
            "Some methods of speeding up the convergence of iteration methods (1964), for momentum",
            follows=_WEIGHTS,
            quantity="cosine of first step and gradient; learning rate times weight decay; norm "
            "of the decay over the norm of the gradient, where there is one; part of its rate that "
            "each step of the optimiser takes, without a scheduler",
            exempt="the default optimiser; steps that leave the weights as they are; decay beside "
            "the gradient of a model that has learnt already; rates that a scheduler lowers, and "
            "those that stay or grow in some step",
            severities=("error", "warning"),
            remedy="leave maximize=True out, pass momentum and weight_decay by name, and scale the "
            "rates of layers once, where their groups are made",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        held = evidence.optimizer
        yield from self._holds(evidence)
        if held.broken:
            yield self.rules[0].found(
                self.name,
                "error",
                held.broken,
                f"step after which weights are not finite, although its gradients were (of "
                f"{len(evidence.snapshots) - 1})",
                measured=held.broken_at,
                limit=0,
            )
        yield from self._against(evidence)
        if not held.is_frozen:
            yield from self._still(evidence)

    def _holds(self, evidence: Evidence) -> Iterator[Finding]:
        held = evidence.optimizer
        missing = [
            p.layer
            for p in evidence.parameters.values()
            if p.trainable and p.name not in evidence.rates and largest_gradient(evidence, p)
        ]
        if held.is_frozen or held.is_empty or (held.foreign and missing):
            quantity = "trainable parameters that the optimiser holds"
            if held.is_frozen:
                quantity = "trainable parameters of the model"
            elif not held.is_empty:
                quantity = "tensors in the optimiser that are not the model's"
            is_count = not held.is_frozen and not held.is_empty
            cause = _FROZEN if held.is_frozen else _EMPTY if held.is_empty else ""
            yield self.rules[1].found(
                self.name,
                "error",
                tuple(dict.fromkeys(missing)),
                quantity,
                measured=held.foreign if is_count else 0,
                limit=0 if is_count else 1,
                cause=cause,
                remedy=_THAW if held.is_frozen else "",
            )

    def _against(self, evidence: Evidence) -> Iterator[Finding]:
        held = evidence.optimizer
        if evidence.is_default_optimizer or held.is_empty or held.is_frozen:
            return
        if held.direction is not None and held.direction > _UPHILL:
            yield self.rules[3].found(
                self.name,
                "error",
                (),
                "cosine of the first step and the gradient",
                measured=held.direction,
                limit=_UPHILL,
                cause="the steps go up the gradient: the loss is maximised",
            )
        elif held.is_descent and evidence.momentum >= 1:
            yield self.rules[3].found(
                self.name,
                "warning",
                (),
                "part of the past that momentum forgets in a step",
                measured=1 - evidence.momentum,
                limit=0.0,
                cause=_UNDAMPED,
                code=changed_setting("momentum", "= 0.9"),
            )
        else:
            yield from self._decays(evidence)
            yield from self._fades(held.fading)

    def _fades(self, fading: float) -> Iterator[Finding]:
        if fading > _FADES_WARNING:
            severity: Severity = "error" if fading > _FADES_ERROR else "warning"
            yield self.rules[3].found(
                self.name,
                severity,
                (),
                "part of its learning rate that the optimiser takes in every step",
                measured=fading,
                limit=_FADES_ERROR if severity == "error" else _FADES_WARNING,
                cause="the optimiser lowers its own rate in every step: all further steps together "
                f"go no farther than {1 / fading:.0f} with the rate as it is",
                remedy="scale the rates of layers once, where their groups are made, and leave "
                "what comes later to a scheduler",
            )

    def _decays(self, evidence: Evidence) -> Iterator[Finding]:
        held = evidence.optimizer
        if held.decay > _DECAY_WARNING:
            severity: Severity = "error" if held.decay > _DECAY_ERROR else "warning"
            yield self.rules[3].found(
                self.name,
                severity,
                (),
                "part of a weight that decay takes in a step",
                measured=held.decay,
                limit=_DECAY_ERROR if severity == "error" else _DECAY_WARNING,
                cause="weight decay takes so much of every weight that nothing learnt will last",
                code=changed_setting("weight_decay", "= 1e-4"),
            )
        elif held.decay_share > _OUTWEIGHED and not _has_begun(evidence):
            yield self.rules[3].found(
                self.name,
                "warning",
                (),
                "norm of the weight decay over the norm of the gradient that it is added to",
                measured=held.decay_share,
                limit=_OUTWEIGHED,
                cause="the decay that the optimiser adds to the gradient is larger than the "
                "gradient: every step shortens the weights, whatever the loss says",
                code=changed_setting("weight_decay", "= 0.0"),
            )

    def _still(self, evidence: Evidence) -> Iterator[Finding]:
        losses = evidence.trajectory
        moved = any(
            p.gradient is not None and p.gradient.zero_share < 1
            for p in evidence.start.parameters.values()
        )
        if not moved or not all_gone(evidence) or _is_done(evidence):
            return
        yield self.rules[2].found(
            self.name,
            "error",
            (),
            f"largest gradient after the steps (loss {losses.last:.4g})",
            measured=0.0,
            limit=0.0,
            code=changed_setting("lr", "/= 100"),
        )


def _has_begun(evidence: Evidence) -> bool:
    left = evidence.trajectory.left
    return left is not None and left < 1 - PROOF


def _is_done(evidence: Evidence) -> bool:
    losses = evidence.trajectory
    if losses.left is not None:
        return losses.left < _DONE
    return losses.last < _DONE * losses.first
