"""What the model hands to its loss: the range of its outputs against what the loss can use."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.cuts import unasked_heads
from pytest_initcheck.checks.prose import listed, number, percent
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.objective import FACTORS, FAR, SURE, ObjectiveFacts
from pytest_initcheck.records import Finding

# Of what can be learnt, from the best constant prediction to the lowest loss, the share that the
# range of the outputs puts out of reach. Probabilities of two classes under a second softmax lose
# 0.45 and of ten 0.63; a tenth is what a tanh loses on standardised targets.
_LOST_ERROR = 1 / 3
_LOST_WARNING = 0.1
# Cosines are bounded on purpose; a temperature of one half over 64 classes loses 0.19.
_LOST_COSINES = 0.25
# Of the loss, the part from which on a term of it is most of what is asked for.
_MAIN = 0.5
# Of the values that reach a logarithm, the share that a clamp hides from it.
_HIDDEN_ERROR = 0.25
_HIDDEN_WARNING = 0.05
_DEAD_ERROR = 0.1
_COSINES = ("normalize", "div", "truediv", "cosine_similarity")
_LINEAR = (
    "the loss is linear in the outputs, which are no logarithms of probabilities: it is no "
    "likelihood, and rewards the right class without a penalty for the wrong ones"
)
_UNNORMALISED = (
    "the loss is a likelihood of classes, and gets what are no logarithms of probabilities: their "
    "exponentials do not sum to one, so that larger scores lower it whatever the class"
)
_OUTSIDE = (
    "the loss takes its targets for probabilities, and they lie outside of 0 to 1, so that it "
    "falls without end as the outputs grow"
)
_SINKS = (
    "the loss falls without end as the outputs grow, whatever the input: it takes them for "
    "something that they are not, or has the wrong sign"
)
_BLANK = (
    "CTC takes one class for the blank, which stands between labels and for none, and the labels "
    "hold it: an alignment does not tell such a label from none, so that the loss falls below "
    "zero and what is decoded lacks it"
)
_OWN_CLASS = "give the blank a class of its own: blank=…, or labels that start behind it"
_BROKEN = frozenset({"IC104", "IC111", "IC306", "IC501", "IC502"})
_WITHIN = (
    "a likelihood within the loss takes for logits what was squashed before: it squashes again, "
    "and stays far from its floor even where the model is sure and right"
)
_UNMOVED = (
    "what training can change leaves the targets out of reach, whatever it comes to: the rest of "
    "the output is made of data and constants, as where weights are not the model's own"
)
_ALONE = (
    "a term of the loss is made of the batch alone, so that it moves nothing, and what the layer "
    "gives reaches no term: one was meant to be made of it"
)
_IDLE = (
    "a term of the loss moves with the parameters that the optimiser holds, but its gradient comes "
    "to others alone, as that of a judge on detached outputs: it trains nothing in this step"
)
_EMPTY = (
    "a term of the loss is zero for this batch whatever the model gives: it compares targets, or "
    "what was made of them, with themselves, or weighs every value by zero"
)
_SLOPE = (
    "the loss adds a derivative of the model, taken by torch.autograd.grad without "
    "create_graph=True, to values of the same model: no gradient leads back through the "
    "derivative, which stays what the other values make of it"
)


class Contract:
    """Asks the loss itself what it makes of other outputs, within and beyond the model's range."""

    name = "contract"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC801",
            title="squashed twice",
            cause="the outputs are squashed into a narrow range, and the loss squashes them "
            "again: it takes for logits what are no logits, and cannot come near its floor "
            "however long one trains",
            limit=f"at most {percent(_LOST_WARNING)} (error: {percent(_LOST_ERROR)} of the whole "
            f"loss, or of a term that is {percent(_MAIN)} of it) of what can be learnt out of "
            "reach, also of a likelihood within the loss, or of a term",
            reference="PyTorch documentation: CrossEntropyLoss and BCEWithLogitsLoss expect "
            "unnormalised logits; NaJaeMin92/pytorch-DANN#7, yudi-mars/daisyRec#15",
            follows=_BROKEN,
            quantity="lowest loss that any values of the last layer reach, through what is done to "
            "them, above the lowest that any output has, over that of the best constant output",
            exempt="logarithms of probabilities, which a softmax leaves as they are; scores with "
            "a temperature or gain that is learnt or large enough; squashings inside the model, "
            "as of attention, gates and mixtures; targets made by the loss itself, as contrastive "
            "losses do",
            severities=("error", "warning"),
            remedy="return the values that enter the last softmax, sigmoid or tanh, and let the "
            "loss squash them; or take a loss for probabilities",
        ),
        Rule(
            id="IC802",
            title="output cannot reach the targets",
            cause="the last operation of the model bounds its outputs, and the targets lie "
            "beyond: no weights bring the loss near its floor",
            limit=f"at most {percent(_LOST_WARNING)} (error: {percent(_LOST_ERROR)}) of what can "
            f"be learnt out of reach, also of a term (error: of {percent(_MAIN)} of the loss)",
            reference="LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 4.5, on "
            "targets within the range of the sigmoid",
            follows=_BROKEN | {"IC101", "IC804", "IC401"},
            quantity="as for IC801",
            exempt="bounded outputs whose targets lie within the bounds, but for a few; targets "
            "made by the loss itself",
            severities=("error", "warning"),
            remedy="scale the targets into the range of the output, or leave the last bounded "
            "operation out, or scale and shift behind it",
        ),
        Rule(
            id="IC803",
            title="loss without a lower bound",
            cause="the loss falls without end as the outputs grow, whatever the input: it takes "
            "them for something that they are not, such as scores for logarithms of "
            "probabilities, or targets for probabilities",
            limit="with classes or probabilities as targets, a loss that one number added to all "
            "outputs does not send below any bound, and that is not linear in them",
            reference="PyTorch documentation: NLLLoss and CTCLoss expect log-probabilities, "
            "BCEWithLogitsLoss targets between 0 and 1; a cross-entropy is at least 0",
            follows=_BROKEN,
            quantity=f"the loss after adding {listed(FAR)} to all values of a last layer; the loss "
            f"of the outputs times {listed(sorted((0, 1, *FACTORS)))}",
            exempt="losses without targets from the batch, or with weights for them beside, as of "
            "critics, flows and policy gradients; outputs whose exponentials sum to one",
            remedy="pass log_softmax of the scores to NLLLoss, CTCLoss and KLDivLoss, or the "
            "scores to CrossEntropyLoss; bring binary targets to 0 and 1",
        ),
        Rule(
            id="IC804",
            title="values outside of the loss's domain",
            cause="the loss takes a logarithm or a root of outputs that lie outside of its "
            "domain or at its edge, and a clamp hides it: where it does, no gradient comes through",
            limit=f"at most {percent(_HIDDEN_WARNING)} (error: {percent(_HIDDEN_ERROR)}) of the "
            "values clamped; no label of CTC that is its blank",
            reference="by definition of the logarithm; Graves et al.: Connectionist Temporal "
            "Classification (2006), section 3.1",
            follows=_BROKEN,
            quantity="share of values that a clamp or nan_to_num between output and logarithm "
            "changes by more than a guard against rounding does, or by a nat of the logarithm "
            "that reads it; share of the labels of CTC that are its blank",
            exempt="guards at the ends of a range that the outputs keep; an output beside another",
            severities=("error", "warning"),
            remedy="bring the outputs into the domain first (sigmoid, softmax, softplus, exp), "
            "add logarithms in place of a product's, or take the loss that expects unnormalised "
            "values",
        ),
        Rule(
            id="IC818",
            title="term of the loss without gradient",
            cause="a term of the loss is made of what the model gives, but no gradient leads "
            "back: it was detached, rounded, or differentiated without create_graph=True, so that "
            "it moves nothing",
            limit=f"no such term (error: {percent(_DEAD_ERROR)} of the loss)",
            reference="by the chain rule",
            follows=_BROKEN,
            quantity="share of the loss in terms of its sum that carry no gradient, or of the size "
            "of such a derivative within a sum of what was differentiated; size of a term that is "
            "zero whatever the model gives; behind "
            "forward= with an optimiser of some parameters, that carry none to these",
            exempt="detached factors and targets within a term that has a gradient; a term of the "
            "batch alone where the loss reads every layer that the optimiser holds",
            severities=("error", "warning"),
            remedy="leave out the detach, .item() or .data in this term; pass create_graph=True "
            "to torch.autograd.grad",
        ),
        Rule(
            id="IC821",
            title="loss that rewards the wrong answer",
            cause="being sure of the wrong classes costs less than being sure of the right ones: "
            "the loss has the wrong sign, as where a score to be maximised (Dice, IoU, accuracy) "
            "is minimised, or classes and targets are coded the other way round",
            limit="the loss of the right classes below that of the wrong ones",
            reference="Milletari, Navab, Ahmadi: V-Net (2016), section 3: the Dice coefficient is "
            "maximised",
            follows=_BROKEN | {"IC803", "IC811"},
            quantity=f"loss of logits of {number(SURE)} for the right classes, of 0, and of "
            f"{number(SURE)} for the wrong ones, in the place of what the last sigmoid or softmax "
            "before the loss gets",
            exempt="losses without classes from the batch; a sigmoid or softmax of which only "
            "1 − p is read; what is multiplied with other outputs",
            remedy="minimise 1 − score, or −score",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        facts = evidence.objective
        if facts is None or not math.isfinite(facts.loss):
            return
        unbounded = self._unbounded(facts)
        if unbounded is not None:
            yield unbounded
        else:
            yield from self._first_out_of_reach(facts)
        if unbounded is None:
            yield from self._inverted(facts)
        yield from self._hidden(evidence, facts)
        yield from self._dead(facts)
        yield from self._idle(evidence, facts)

    def _first_out_of_reach(self, facts: ObjectiveFacts) -> Iterator[Finding]:
        """What a term of the loss cannot reach, or else the whole."""
        is_lost = (facts.lost or 0.0) > _LOST_ERROR
        for term in facts.terms:
            # A term that is small beside the rest may be a hint that need not be met.
            is_main = is_lost or abs(term.loss) > _MAIN * abs(facts.loss)
            if found := list(self._out_of_reach(term, "a term's ", can_fail=is_main)):
                yield from found
                return
        yield from self._out_of_reach(facts)

    def _out_of_reach(
        self, facts: ObjectiveFacts, whose: str = "", *, can_fail: bool = True
    ) -> Iterator[Finding]:
        lost, bound = facts.lost or 0.0, facts.bound
        # A likelihood that is the whole loss, or all that counts of it, is told as such.
        is_known = facts.within_loss is not None and lost > _LOST_WARNING
        is_in_loss = facts.lost_in_loss > lost and not is_known
        if is_in_loss:
            lost, bound = facts.lost_in_loss, facts.bound_in_loss
        limit = _LOST_COSINES if bound in _COSINES else _LOST_WARNING
        if lost <= limit or not facts.sides or not bound:
            return
        if bound in _COSINES and facts.meets_taught:
            # Keys that another network makes move with the training; what they allow is not known.
            return
        rule = self.rules[0 if facts.squashes_again else 1]
        within = facts.within_loss if is_in_loss else None
        reach, idle = within or (facts.reachable, facts.constant)
        is_unmoved = not is_in_loss and not facts.is_bounded
        cause = _WITHIN if within else _UNMOVED if is_unmoved else rule.cause
        # What weighs a likelihood within the loss may bring the whole to its floor.
        is_error = lost > _LOST_ERROR and within is None and can_fail
        yield rule.found(
            self.name,
            "error" if is_error else "warning",
            (),
            f"share of what can be learnt that is out of reach ({whose}lowest loss within reach "
            f"{reach:.4g}, best constant {idle:.4g})",
            measured=lost,
            limit=_LOST_ERROR if is_error else limit,
            cause=f"{cause} ({_noun(bound)} before the loss)",
        )

    def _unbounded(self, facts: ObjectiveFacts) -> Finding | None:
        cause = _unbounded_by(facts)
        if not cause:
            return None
        return self.rules[2].found(
            self.name,
            "error",
            (),
            "lowest loss that was found for other outputs",
            measured=facts.reachable if facts.reachable is not None else facts.loss,
            limit=0.0,
            cause=cause,
        )

    def _inverted(self, facts: ObjectiveFacts) -> Iterator[Finding]:
        if facts.inverted is not None:
            right, wrong = facts.inverted
            quantity = "loss of being sure of the right classes (beside that of the wrong ones)"
            yield self.rules[5].found(self.name, "error", (), quantity, measured=right, limit=wrong)

    def _dead(self, facts: ObjectiveFacts) -> Iterator[Finding]:
        if facts.dead_term:
            is_error = facts.dead_term > _DEAD_ERROR
            yield self.rules[4].found(
                self.name,
                "error" if is_error else "warning",
                (),
                "share of the loss in terms without gradient",
                measured=facts.dead_term,
                limit=_DEAD_ERROR if is_error else 0.0,
            )

    def _idle(self, evidence: Evidence, facts: ObjectiveFacts) -> Iterator[Finding]:
        """Terms that have no gradient, or one that the optimiser does not use."""
        if facts.dead_term:
            return
        if facts.has_empty_term:
            quantity = "size of a term of the loss, whatever the model does"
            yield self.rules[4].found(
                self.name, "warning", (), quantity, measured=0.0, limit=0.0, cause=_EMPTY
            )
            return
        if facts.lost_slope:
            is_error = facts.lost_slope > _DEAD_ERROR
            quantity = "share of a derivative without its graph in the sum that it is part of"
            yield self.rules[4].found(
                self.name, "error" if is_error else "warning", (), quantity,
                measured=facts.lost_slope, limit=_DEAD_ERROR if is_error else 0.0, cause=_SLOPE,
            )  # fmt: skip
            return
        if evidence.idle_terms:
            quantity = "share of the loss in terms that train nothing the optimiser holds"
            measured = evidence.idle_terms
            yield self.rules[4].found(
                self.name, "warning", (), quantity, measured=measured, limit=0.0, cause=_IDLE
            )
        elif facts.has_data_term and (heads := unasked_heads(evidence)):
            quantity = "layers whose output the loss does not read, beside a term of data alone"
            yield self.rules[4].found(
                self.name, "warning", heads, quantity, counts_layers=True, limit=0, cause=_ALONE
            )

    def _hidden(self, evidence: Evidence, facts: ObjectiveFacts) -> Iterator[Finding]:
        if facts.blanks:
            yield self.rules[3].found(
                self.name, "error", (), "share of the labels that are the blank of CTC",
                measured=facts.blanks, limit=0.0, cause=_BLANK, remedy=_OWN_CLASS,
            )  # fmt: skip
        hidden = facts.clipped
        if hidden is None or hidden.share <= _HIDDEN_WARNING:
            return
        # What the steps were seen to learn in spite of it is no failure.
        is_error = hidden.share > _HIDDEN_ERROR and not evidence.trajectory.has_learnt
        yield self.rules[3].found(
            self.name,
            "error" if is_error else "warning",
            (),
            f"share of values that {hidden.by} hides from {hidden.before}",
            measured=hidden.share,
            limit=_HIDDEN_ERROR if is_error else _HIDDEN_WARNING,
        )


def _unbounded_by(facts: ObjectiveFacts) -> str:
    """Why the loss has no lower bound that counts, "" where it has one, or needs none.

    Without targets from the batch, or with weights for them beside, the loss may be a critic's, a
    flow's or a policy's; with a logarithm of numbers a likelihood, of which densities make any.
    """
    if facts.is_unnormalised:
        return _UNNORMALISED
    if facts.is_linear and facts.targets in ("classes", "shares"):
        return _LINEAR
    low, high = facts.target_range or (0.0, 1.0)
    if facts.squashes_again and facts.is_bottomless and (low < 0 or high > 1):
        return f"{_OUTSIDE} ({low:.4g} to {high:.4g})"
    if facts.sides != 1 or facts.has_score or not (facts.is_bottomless or facts.sinks):
        return ""
    is_likelihood = facts.is_logarithmic and facts.targets == "numbers"
    return "" if is_likelihood and not facts.sinks else _SINKS if _is_meant(facts) else ""


def _is_meant(facts: ObjectiveFacts) -> bool:
    # Weights of a policy's logarithms are numbers, too, and sink the loss of what is not rewarded.
    return facts.sinks or not facts.is_logarithmic


def _noun(bound: str) -> str:
    return {"truediv": "a division", "normalize": "a normalisation"}.get(bound, f"a {bound}")
