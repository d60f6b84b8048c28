"""The first loss against what a prediction without knowledge costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.prose import number, percent
from pytest_initcheck.checks.remedy_code import restarted
from pytest_initcheck.checks.rule import WRONG_SCALES, Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import last_layer, producers
from pytest_initcheck.evidence.objective import LARGER, RARE
from pytest_initcheck.evidence.signals import (
    ends_in_classes,
    has_temperature,
    is_class_loss,
)
from pytest_initcheck.records import Finding, Severity

# Logits of standard deviation s add about s²/2 to the cross-entropy. Healthy initialisers give
# s ≤ √2 (gain of ReLU on an input of unit scale); s = 2 is error, s = √3 warning. With many
# classes C a softmax still listens to all of them up to s = √(2 ln C), where it freezes on a few:
# that adds ln C, which is chance itself.
_ERROR = 2.0
_WARNING = 1.5
# Of the lowest loss of smaller outputs, where that is more: chance once more, or most of it.
_AGAIN_ERROR = 1.0
_AGAIN_WARNING = 0.75
_Z = 3.0
# Outputs of so many times the size of the targets, and the loss that an absolute error makes of
# it; a last layer on inputs of unit scale gives outputs of this size at the most.
_RATIO = 10.0
_OUTPUT = 3.0
# The loss of a batch that stands there twice is the same for a mean, and twice as large for a sum.
_SUM = 1.5


class InitialLoss:
    """A model that knows nothing should say so: a high first loss is confidence without reason."""

    name = "initial_loss"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC703",
            title="initial loss far above chance",
            cause="the outputs are too large at the start: the model is confidently wrong, and the "
            "first steps are spent on undoing it",
            limit="cross-entropy: above the lowest of the same outputs times a number from 0 to 1 "
            f"by {number(_ERROR)}, or by {percent(_AGAIN_ERROR)} of it, whichever is more "
            f"(warning: {number(_WARNING)} or {percent(_AGAIN_WARNING)}), plus {number(_Z)} "
            f"standard errors of the batch; other losses, {number(_RATIO)} times that lowest, "
            f"with outputs of {number(_RATIO)} times the targets' size",
            reference="E[loss] ≈ ln C + s²/2 for logits of standard deviation s, up to the "
            "freezing at s = √(2 ln C) of Derrida: Random-energy model (1981); Chizat, Oyallon, "
            "Bach: On Lazy Training (2019)",
            follows=frozenset(
                {
                    "IC104",
                    "IC111",
                    "IC201",
                    "IC303",
                    "IC306",
                    "IC501",
                    "IC502",
                    "IC503",
                    "IC701",
                    "IC704",
                }
            )
            | WRONG_SCALES,
            quantity="the first loss L(1), and the least L(α) for α in [0, 1], where α multiplies "
            "what the last layers made",
            exempt="losses without classes that come below the limit in the steps taken; scores "
            "whose size does not change with that of the last layers' outputs, such as cosines "
            "times a temperature; an excess of which the mean output of all samples has more than "
            f"{percent(LARGER)}, where that says what holds of more than {percent(1 - RARE)} of "
            "the targets, as the bias of a detector does",
            severities=("error", "warning"),
            remedy="scale the weights by fan-in, such as torch.nn.init.kaiming_normal_("
            "weight), and draw those of the last layer smaller or start them at zero",
            confirms=True,
        ),
        Rule(
            id="IC704",
            title="loss sums instead of averages",
            cause="the loss grows with the size of the batch: gradients and the right learning "
            "rate depend on how many samples there are",
            limit=f"the loss of a doubled batch over that of the batch below {number(_SUM)}",
            reference="Goyal et al.: Accurate, Large Minibatch SGD (2017), section 2.1",
            quantity="loss of a constant prediction on the doubled batch over that on the batch",
            exempt="as for IC703",
            severities=("error", "warning"),
            remedy="average over the samples, such as reduction='mean'",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        facts, targets = evidence.loss, evidence.start.targets
        if not math.isfinite(facts.initial):
            return
        is_grown = facts.growth is not None and facts.growth > _SUM
        is_sum = is_grown and bool(targets and targets.n > 1)
        scale = targets.n if is_sum and targets else 1
        severity, limit = self._limit(evidence, facts.initial / scale, calm_loss(evidence), scale)
        if is_sum:
            yield self.rules[1].found(
                self.name,
                "warning",
                (),
                "loss of a doubled batch over that of the batch",
                measured=facts.growth,
                limit=_SUM,
            )
        if severity:
            yield self.rules[0].found(
                self.name,
                severity,
                _heads(evidence),
                f"first loss (of smaller outputs {calm_loss(evidence):.4g})",
                measured=facts.initial,
                limit=limit * scale,
                code=restarted(evidence),
            )

    def _limit(
        self, evidence: Evidence, initial: float, calm: float | None, scale: int
    ) -> tuple[Severity | None, float]:
        facts = evidence.objective
        if calm is None or calm <= 0 or (facts is not None and facts.is_prior):
            return None, 0.0
        calm = calm / scale
        if is_class_loss(evidence) or ends_in_classes(evidence):
            slack = _Z * math.sqrt(2 / _predictions(evidence))
            error = calm + max(_ERROR, _AGAIN_ERROR * calm) + slack
            limit = calm + max(_WARNING, _AGAIN_WARNING * calm) + slack
            if initial > error:
                return "error", error
            if initial > limit:
                return "warning", limit
            return _behind(evidence, initial, scale)
        targets, outputs = evidence.start.targets, evidence.start.result
        known = (outputs.rms or 0.0) if outputs else 0.0
        wanted = (targets.rms or 0.0) if targets else 0.0
        losses, limit = evidence.trajectory, _RATIO * calm
        # What an optimiser that was passed is seen to undo in a few steps costs no more than these.
        is_undone = losses.is_chosen and losses.is_finite and losses.last / scale <= limit
        if initial > limit and known > max(_OUTPUT, _RATIO * wanted) and not is_undone:
            return "error", limit
        return None, 0.0


def calm_loss(evidence: Evidence) -> float | None:
    """The lowest loss of what the last layers made times a number from 0 to 1.

    What the first loss has beyond it is confidence without a reason. Where the loss cannot be
    asked, that of a constant prediction takes its place, but for outputs of a learnt scale.
    """
    if evidence.objective is not None:
        return evidence.objective.calmest
    return None if has_temperature(evidence) else evidence.loss.uninformed


def _behind(evidence: Evidence, initial: float, scale: int) -> tuple[Severity | None, float]:
    """The same for scores whose size is set behind the last layer, by no temperature to learn.

    Those are often large on purpose: cosines times 64 start at seven times chance, and learn.
    """
    facts = evidence.objective
    calm = facts.calm_output if facts is not None else None
    if calm is None or calm <= 0 or has_temperature(evidence):
        return None, 0.0
    limit = _RATIO * calm / scale + _ERROR
    return ("error", limit) if initial > limit else (None, 0.0)


def _predictions(evidence: Evidence) -> int:
    """How many predictions the batch asks for: one for each target, or set of logits."""
    targets, outputs = evidence.start.targets, evidence.start.result
    if targets is not None:
        return max(targets.n, 1)
    classes = evidence.loss.classes or 1
    return max(outputs.n // classes, 1) if outputs else 1


def _heads(evidence: Evidence) -> list[str]:
    """The layers that made the outputs, the one with the largest values first."""
    outputs = evidence.start.output_stats
    ends = (node for node in evidence.nodes if node.index in evidence.output_nodes)
    found = {n.layer for end in ends for n in ([end] if end.is_layer else producers(evidence, end))}
    found = found or {last_layer(evidence)}
    sizes = {name: outputs[name].rms or 0.0 for name in found if name in outputs}
    return sorted(sizes, key=lambda name: -sizes[name])[:1] or sorted(found)[:1]
