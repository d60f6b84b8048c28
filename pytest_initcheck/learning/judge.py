"""Concludes from the trials whether a model can fit its batch, or why that cannot be told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_initcheck.evidence.learning import SEEN, Outcome
from pytest_initcheck.learning.bench import Tried, uses_inputs
from pytest_initcheck.learning.bounds import Stakes

# Fewer different inputs than this are told apart by chance.
FEWEST = 4
# Of that, what may be noise.
_NOISE = 0.1
# Of the way from the first loss to the best constant's, what is left of a trial that is on it.
_NEAR, _FAR = 0.1, 0.75
_FADING = (
    "the influence of the inputs fades over the steps of the recurrence, but is there: such models "
    "stand on a plateau for long"
)


@dataclass(frozen=True, kw_only=True)
class TrialSubject:
    """What else matters for a conclusion.

    ``noise`` is by how much the loss changes from one evaluation to the next although weights and
    random numbers are the same; ``is_changing``: the forward pass changes the parameters;
    ``parameters`` counts the trainable ones; ``is_fading``: the model is recurrent, and some
    gradient reaches its inputs.
    """

    noise: float = 0.0
    is_changing: bool = False
    parameters: int = 0
    is_fading: bool = False


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """An outcome, and why."""

    outcome: Outcome
    reason: str


def undecided(reason: str) -> Conclusion:
    """The question has no answer, for that reason."""
    return Conclusion(outcome="undecided", reason=reason)


def unanswerable(stakes: Stakes) -> str:
    """Why no step needs to be taken, empty where steps can tell."""
    if stakes.is_open:
        return "the loss has no floor, so that its fall proves nothing"
    if stakes.kinds == 1 or stakes.asks_for_nothing:
        return (
            "one prediction for all samples is as good as any: the batch asks for nothing that "
            "depends on the inputs"
        )
    return ""


def conclude(tried: Sequence[Tried], stakes: Stakes, subject: TrialSubject) -> Conclusion:
    """What the trials say together."""
    best = best_of(tried)
    share = stakes.share(best.trial.loss)
    if best.trial.course == "fits":
        reason = "it halves its loss; what a constant prediction costs is not known"
        return Conclusion(outcome="learns", reason=reason if share is None else _closes(share))
    if not any(math.isfinite(each.trial.loss) for each in tried):
        return Conclusion(outcome="fails", reason="the loss is not finite")
    if share is None:
        return undecided(
            "what a constant prediction costs is not known for this loss, which is not halved"
        )
    gained = max(_gain(each, stakes) for each in tried)
    doubt = _doubt(tried, stakes, subject)
    if gained < SEEN:
        return undecided(doubt) if doubt else Conclusion(outcome="fails", reason=_fault(tried))
    if tried[-1].trial.course == "falls":
        reason = f"{_closes(gained)}, and its loss goes on falling"
        return Conclusion(outcome="learns", reason=reason)
    return undecided(f"{_closes(gained)}, and stands still there{'; ' * bool(doubt)}{doubt}")


def _closes(share: float) -> str:
    return f"it closes {share:.0%} of what lies between a constant prediction and the floor"


def best_of(tried: Sequence[Tried]) -> Tried:
    """The trial to tell of: the first that fits, else that with the lowest loss."""
    fits = [each for each in tried if each.trial.course == "fits"]
    return fits[0] if fits else min(tried, key=lambda each: each.trial.loss)


def _gain(each: Tried, stakes: Stakes) -> float:
    """The share that a trial gained from the inputs, over what no constant prediction has."""
    share = stakes.share(each.trial.loss) or 0.0
    placed = stakes.share_of_placed(each.trial.loss)
    if placed is not None and placed < SEEN and not uses_inputs(stakes, each.probe):
        return min(placed, share)
    return share


def _doubt(tried: Sequence[Tried], stakes: Stakes, subject: TrialSubject) -> str:
    """Why a model that gained nothing from its inputs need not be at fault, empty where it is."""
    if stakes.kinds < FEWEST:
        return f"{stakes.kinds} different inputs are too few; pass {FEWEST} or more"
    if subject.noise > _NOISE * SEEN * (stakes.worth or 0.0):
        return "the loss differs from one evaluation to the next with the same weights"
    if subject.is_changing:
        return "the forward pass changes the parameters"
    probes = [each.probe for each in tried if each.probe is not None]
    if any(seen.is_moving for seen in probes):
        return "the loss compares the outputs with values that move with the weights"
    if _is_blind(tried):
        return _FADING if subject.is_fading else ""
    if tried[-1].trial.course == "falls" or _is_on_its_way(tried, stakes):
        return "the loss falls, but is no better yet than the best constant prediction"
    if subject.parameters < stakes.asked:
        return (
            f"{subject.parameters} trainable parameters may be too few for the {stakes.asked} "
            "values that are asked for"
        )
    return ""


def _is_on_its_way(tried: Sequence[Tried], stakes: Stakes) -> bool:
    """Whether a trial left the start far behind, and has not come to the best constant yet.

    Four labels of a thousand classes are cheaper for a constant than for any first steps.
    """
    if stakes.constant is None or stakes.first <= stakes.constant:
        return False
    left = (best_of(tried).trial.loss - stakes.constant) / (stakes.first - stakes.constant)
    return _NEAR < left < _FAR


def _is_blind(tried: Sequence[Tried]) -> bool:
    """Whether all samples got the same output at the end of every trial."""
    probes = [each.probe for each in tried if each.probe is not None]
    return bool(probes) and all(seen.is_same for seen in probes)


def _fault(tried: Sequence[Tried]) -> str:
    if _is_blind(tried):
        return "the input does not matter: the output is the same for every sample"
    return "no rate gets it below the best constant prediction, far above the floor"
