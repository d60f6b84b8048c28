"""What stands between output and loss: squashings, clamps, broadcasts, terms without gradient."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pytest_initcheck.evidence import nonlinearities
from pytest_initcheck.evidence.objective import Clipped
from pytest_initcheck.objective.reach import is_normalised
from pytest_initcheck.objective.tail import Tail, name_on_tape, terms
from pytest_initcheck.objective.tape import TapeCall, Value

# Calls that take logits, and squash them.
SQUASHING = frozenset(
    {"cross_entropy", "log_softmax", "softmax", "binary_cross_entropy_with_logits", "sigmoid",
     "logsigmoid", "log_sigmoid", "softplus", "multilabel_soft_margin_loss", "soft_margin_loss",
     "logsumexp"}
)  # fmt: skip
_LOGITS = SQUASHING - {"softmax", "sigmoid"}
_BOUNDING = nonlinearities.BOUNDING | {
    *("normalize", "cosine_similarity", "abs", "square", "cos", "erf", "div", "__truediv__", "log")
}
_LIKELIHOODS = frozenset({"cross_entropy", "binary_cross_entropy_with_logits"})
_CUTS = frozenset({"softmax", "sigmoid", "tanh"})
_CLIPPING = nonlinearities.CLAMPS | {"nan_to_num", "maximum"}
_DOMAINS = frozenset(
    {"log", "log2", "log10", "log1p", "logit", "binary_cross_entropy", "sqrt", "rsqrt", "pow",
     "acos", "arccos", "asin", "atanh", "gaussian_nll_loss"}
)  # fmt: skip
_RATIOS = frozenset({"log", "log2", "log10"})
_LOGS = frozenset(
    {"log", "log2", "log10", "log1p", "logit", "nll_loss", "ctc_loss", "kl_div",
     "binary_cross_entropy", "poisson_nll_loss", "gaussian_nll_loss"}
)  # fmt: skip
MULTIPLIED = frozenset({"mul", "__mul__", "__rmul__", "multiply"})
_SIMILARITIES = frozenset(
    {"matmul", "__matmul__", "mm", "bmm", "cdist", "einsum", "cosine_similarity",
     "pairwise_distance", "cosine_embedding_loss", "triplet_margin_loss"}
)  # fmt: skip


def after_output(tail: Tail) -> Iterator[TapeCall]:
    """The calls behind the model's output; behind the heads where the output is not read."""
    outputs = {name_on_tape(value) for value in tail.output}
    reached: set[int] = set()
    for call in tail.calls:
        is_behind = any(
            name_on_tape(value) in outputs or id(value.call) in reached for value in call.inputs
        )
        if is_behind or not tail.output:
            reached.add(id(call))
            yield call


def squashes_again(tail: Tail) -> bool:
    """Whether what stands behind the output takes it for logits."""
    return any(call.name in SQUASHING for call in after_output(tail))


def is_logarithmic(tail: Tail) -> bool:
    """Whether a logarithm stands between the last layers and the loss."""
    return any(call.name in _LOGITS | _LOGS for call in tail.calls)


def compares(tail: Tail) -> bool:
    """Whether what the last layers made is compared with each other: similarities, distances."""
    return any(call.name in _SIMILARITIES for call in tail.calls)


def meets_taught(tail: Tail) -> bool:
    """Whether outputs are multiplied with what a network without gradient has made.

    As the keys of a momentum encoder, which move as the training goes on.
    """
    products = (call for call in after_output(tail) if call.name in _SIMILARITIES | MULTIPLIED)
    return any(
        value.is_taught or (value.kind == "constant" and value.is_cut)
        for call in products
        for value in call.inputs
    )


def gradient_cuts(tail: Tail) -> Iterator[tuple[Value, str]]:
    """Values between output and loss that are squashed, and then taken for logits."""
    calls = list(after_output(tail))
    for place, call in enumerate(calls):
        if call.name in _CUTS and _is_squashed_behind(call, calls[place + 1 :]):
            yield Value(kind="call", call=call), call.name


def likelihoods(tail: Tail) -> Iterator[tuple[Tail, Value, str]]:
    """The tails of likelihoods within the loss that take for logits what was just squashed.

    With that value and what squashed it. A factor that vanishes where the model is right, as that
    of a focal loss, brings the whole loss to its floor, but not the likelihood that it weighs.
    """
    for place, call in enumerate(tail.calls):
        before = call.inputs[0].call if call.name in _LIKELIHOODS and call.inputs else None
        if before is not None and before.name in _CUTS:
            found = Value(kind="call", call=call)
            mean = TapeCall(name="mean", func=torch.mean, args=(found,), kwargs={}, inputs=[found],
                        shapes=call.results, results=[()])  # fmt: skip
            inner = dataclasses.replace(
                tail, calls=(*tail.calls[: place + 1], mean), root=Value(kind="call", call=mean)
            )
            yield inner, call.inputs[0], before.name


def _is_squashed_behind(call: TapeCall, later: Sequence[TapeCall]) -> bool:
    reached = {id(call)}
    for other in later:
        if any(v.call is not None and id(v.call) in reached for v in other.inputs):
            if other.name in _LOGITS:
                return True
            reached.add(id(other))
    return False


def bound(tail: Tail) -> str:
    """The last operation before the output that bounds it, "" where the layer made it."""
    for value in tail.output:
        call = first = value.call
        while call is not None:
            if call.name in _BOUNDING:
                return call.name.strip("_")
            call = next((v.call for v in call.inputs if v.call), None)
        if first is not None:
            return first.name.strip("_")
    return ""


def is_bounding(name: str) -> bool:
    """Whether an operation keeps its results within a range, or of one size."""
    return name in _BOUNDING or f"__{name}__" in _BOUNDING


def clipped_outputs(tail: Tail) -> Clipped | None:
    """What hides values of the output from a function that could not take them."""
    calls = tail.calls
    if not any(call.name in _CLIPPING for call in calls):
        return None
    with torch.no_grad():
        known = tail.play(tail.start)
    for call in calls:
        # The larger of two outputs is a choice: a gradient goes back to that one.
        is_clamp = call.name in _CLIPPING and sum(value.is_free for value in call.inputs) == 1
        reader = _leads_to(call, calls) if is_clamp else ""
        if reader:
            is_log = reader in _RATIOS and _is_read_by(call, reader, calls)
            share = _share_moved(tail.seen(call.inputs[0], known), known[id(call)][0], is_log)
            if share > 0:
                return Clipped(by=call.name, share=share, before=reader)
    return None


def _share_moved(before: object, after: Tensor, is_log: bool) -> float:
    if not isinstance(before, Tensor) or before.shape != after.shape:
        return 0.0
    # Guards against the ends of (0, 1) move values by rounding's size.
    moved = ~((before - after).abs() <= 1e-3 * (1 + after.abs()))
    if is_log:
        # What is small to a difference may be far to a logarithm.
        moved |= (before > 0) & (after > before * math.e)
    return float(moved.float().mean())


def _is_read_by(call: TapeCall, reader: str, calls: Sequence[TapeCall]) -> bool:
    """Whether a function of that name reads what a call makes, with nothing in between."""
    return any(c.name == reader and any(v.call is call for v in c.inputs) for c in calls)


def _leads_to(call: TapeCall, calls: Sequence[TapeCall]) -> str:
    """The first function of a limited domain that reads what a call makes."""
    reached = {id(call)}
    for other in calls:
        if any(v.call is not None and id(v.call) in reached for v in other.inputs):
            if other.name in _DOMAINS:
                return other.name
            reached.add(id(other))
    return ""


def is_unnormalised(tail: Tail) -> bool:
    """Whether a likelihood of classes gets something else than logarithms of probabilities."""
    calls = [call for call in tail.calls if call.name in ("nll_loss", "ctc_loss") and call.inputs]
    if not calls:
        return False
    with torch.no_grad():
        known = tail.play(tail.start)
    scores = [tail.seen(call.inputs[0], known) for call in calls]
    return any(t.dim() > 1 and not is_normalised(t) for t in scores)


def _is_hinge(value: Value) -> bool:
    """Whether a term is made of what is bounded from below alone."""
    call = value.call
    if call is None:
        return False
    is_clamp = call.name in ("clamp", "clip") and len(call.args) < 3
    is_clamp = is_clamp and call.kwargs.get("max") is None
    is_bounded = is_clamp or call.name in ("clamp_min", "relu", "maximum")
    return is_bounded or any(_is_hinge(v) for v in call.inputs)


def dead_term(tail: Tail) -> float:
    """The share of the loss that is a sum's term made of the model, but without gradient."""
    with torch.no_grad():
        known = tail.play(tail.start)
    dead, alive = 0.0, 0.0
    for value in terms(tail.root):
        term = tail.seen(value, known)
        size = float(term.abs().sum()) if isinstance(term, Tensor) and term.numel() == 1 else 0.0
        is_cut = value.kind in ("constant", "data") and value.is_cut
        # What is flat below a bound, as a hinge or free bits are, may rise above it later.
        is_stale = name_on_tape(value) in tail.stale and not _is_hinge(value)
        if is_cut or is_stale:
            dead += size
        else:
            alive += size
    return dead / (dead + alive) if dead else 0.0


def has_data_term(tail: Tail) -> bool:
    """Whether a term of the loss's sum is made of the batch alone."""
    found = terms(tail.root)
    return len(found) > 1 and any(v.kind == "data" and not v.is_cut for v in found)
