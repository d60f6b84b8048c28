"""Findings on what is trained: who holds the weights, their mode, what is frozen, what decays."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.checks import step_rules
from pytest_initcheck.checks.prose import percent
from pytest_initcheck.records import Finding
from pytest_initcheck.stepping.observations import (
    StepCall,
    StepObservations,
    Stranger,
    Weight,
    layers,
)


def unheld(seen: StepObservations) -> Iterator[Finding]:
    """Trainable weights with a gradient that no optimiser has, and why."""
    lost = [w for w in seen.weights.values() if _is_lost(w)]
    idle = [s for s in seen.strangers if s.trainable and not s.reached and not s.moved]
    replaced = list(_replaced(lost, idle))
    if replaced:
        yield step_rules.REPLACED.found(
            step_rules.CHECK,
            "error",
            layers([w.name for w in replaced]),
            "weights of which the optimiser holds an old tensor",
            measured=len(replaced),
            limit=0,
        )
    rest = [w for w in lost if w not in replaced]
    if rest:
        yield step_rules.UNHELD.found(
            step_rules.CHECK,
            "error",
            layers([w.name for w in rest]),
            "trainable parameters in no group",
            measured=len(rest),
            limit=0,
        )


def _is_lost(weight: Weight) -> bool:
    return weight.trainable and weight.reached and not weight.held and not weight.moved


def _replaced(lost: list[Weight], idle: list[Stranger]) -> Iterator[Weight]:
    """Those in whose place the optimiser holds a tensor of the shape, or one that was resized."""
    free = list(idle)
    for is_like in (_is_same, _is_resized):
        for weight in lost:
            old = next((s for s in free if is_like(weight.shape, s.shape)), None)
            if old is not None:
                free.remove(old)
                yield weight


def _is_same(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a == b


def _is_resized(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def mode(seen: StepObservations) -> Iterator[Finding]:
    """Training in eval mode, of the whole or of a part."""
    trained = _trained(seen)
    whole = _whole(seen, trained)
    modes = [_modes(call, whole) for call in seen.calls]
    count = modes.count({False})
    if count:
        yield _in_eval(seen, count, is_first=modes[0] == {False})
        return
    parts = [n for n in seen.containers if n not in ("", whole) and _is_off(seen, n, trained)]
    if parts:
        yield step_rules.MODE.found(
            step_rules.CHECK,
            "warning",
            tuple(parts),
            "parts in eval mode whose weights are trained",
            counts_layers=True,
            limit=0,
            cause="a part of the model is in eval mode while its weights are trained: its dropout "
            "is off",
        )


def _trained(seen: StepObservations) -> list[str]:
    reached = [w for w in seen.weights.values() if w.reached and w.trainable]
    return [w.name for w in reached if w.moved] or [w.name for w in reached]


def _whole(seen: StepObservations, trained: list[str]) -> str:
    """The innermost module around all that is trained: the model, or what a wrapper holds.

    A layer alone is it only while it is in training mode, where all around it may be in eval mode:
    its own mode then was chosen.
    """
    ran = set[str]().union(*(call.still | call.lively for call in seen.calls))
    chosen = set[str]().union(*(call.lively for call in seen.calls))
    around = [n for n in ran if trained and all(_is_in(name, n) for name in trained)]
    candidates = [n for n in around if n in seen.containers or n in chosen]
    return max(candidates, key=len, default="")


def _is_in(name: str, module: str) -> bool:
    return not module or name.startswith(f"{module}.")


def _modes(call: StepCall, whole: str) -> set[bool]:
    mine = {True} if whole in call.lively else set[bool]()
    if whole in call.still:
        mine.add(False)
    return mine or call.modes


def _in_eval(seen: StepObservations, count: int, is_first: bool) -> Finding:
    still = set[str]().union(*(call.still for call in seen.calls))
    off = tuple(n for n in seen.eval_matters if n in still or not still)
    cause = step_rules.MODE.cause + "; the step itself leaves it so" * (not is_first)
    if not off:
        cause = (
            "the model is in eval mode while its weights are trained; nothing in it depends on the "
            "mode yet, but the next dropout or normalisation would be off"
        )
    return step_rules.MODE.found(
        step_rules.CHECK,
        "error" if off else "warning",
        tuple(n for n in off if n),
        "calls in eval mode",
        measured=count,
        limit=0,
        cause=cause,
    )


def _is_off(seen: StepObservations, name: str, trained: list[str]) -> bool:
    """Whether a part with dropout is in eval mode as a whole, and trained."""
    modes = [call for call in seen.calls if name in call.still | call.lively]
    is_still = bool(modes) and all(name in c.still and name not in c.lively for c in modes)
    is_dropping = any(part in c.still for c in modes for part in seen.containers[name])
    return is_still and is_dropping and any(_is_in(weight, name) for weight in trained)


def freezing(seen: StepObservations) -> Iterator[Finding]:
    """A model of which only norms or biases are trainable."""
    weights = list(seen.weights.values())
    trained = [w for w in weights if w.trainable]
    matrices = [w for w in weights if len(w.shape) > 1 and not w.is_norm]
    is_vector = all(w.is_norm or w.is_bias for w in trained)
    if not trained or not matrices or not is_vector or any(s.moved for s in seen.strangers):
        return
    count, every = (sum(_size(w) for w in some) for some in (trained, weights))
    are_norms = all(w.is_norm for w in trained)
    what = "normalisations" if are_norms else "biases"
    if not are_norms and any(w.is_norm for w in trained):
        what = "normalisations and biases"
    yield step_rules.FROZEN.found(
        step_rules.CHECK,
        "error" if are_norms else "warning",
        layers([w.name for w in matrices]),
        "share of the model that is trainable",
        measured=count / every,
        limit=None,
        cause=f"all {len(matrices)} weight matrices are frozen: only parameters of {what} are "
        "trainable",
    )


def _size(weight: Weight) -> int:
    size = 1
    for length in weight.shape:
        size *= length
    return size


def undoing_decay(seen: StepObservations) -> Iterator[Finding]:
    """Gains that start at one, and that decay takes back."""
    gains = [w for w in seen.weights.values() if w.starts_at == 1 and _is_gain(w)]
    pulled = [w for w in gains if w.pull >= step_rules.PULL_INFO and w.outrun >= step_rules.OUTRUN]
    if not pulled:
        return
    pull = max(w.pull for w in pulled)
    is_strong = pull >= step_rules.PULL_WARNING
    yield step_rules.DECAY.found(
        step_rules.CHECK,
        "warning" if is_strong else "info",
        layers([w.name for w in pulled]),
        "learning rate times weight decay",
        measured=pull,
        limit=step_rules.PULL_WARNING if is_strong else step_rules.PULL_INFO,
        cause=f"{step_rules.DECAY.cause}; alone, it takes {percent(step_rules.decayed(pull))} of a "
        f"one in {step_rules.DECAY_STEPS} steps",
    )


def _is_gain(weight: Weight) -> bool:
    return weight.trainable and not weight.is_bias and (weight.is_norm or len(weight.shape) < 2)
