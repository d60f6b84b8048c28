"""What the best prediction costs that is the same for every sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program, Result, main_tensor, no_grad_loss

_RARE = 1e-6


def constant_loss(program: Program, result: Result) -> float | None:
    """The least loss of a constant output, None where the loss of another output is not known.

    Tried are the mean of the model's outputs, the mean of the targets, and the frequencies of
    classes, as logits or as probabilities, whichever the model gives.
    """
    output, targets = main_tensor(result.output), result.targets
    if program.forward is not None or not _is_judged(output, targets):
        return None
    output = output.detach()
    known = no_grad_loss(program, output, targets)
    # A model that makes its own loss may price its output in another way.
    if known is None or not math.isclose(known, float(result.loss.detach()), rel_tol=0.01):
        return None
    losses = (no_grad_loss(program, guess, targets) for guess in _constants(output, targets))
    return min((x for x in losses if x is not None and math.isfinite(x)), default=None)


def _is_judged(output: Any, targets: Any) -> bool:
    tensors = isinstance(output, Tensor) and isinstance(targets, Tensor)
    return bool(tensors and output.dim() > 0 and output.is_floating_point())


def _constants(output: Tensor, targets: Tensor) -> Iterator[Tensor]:
    axis = _class_axis(output, targets)
    kept = axis if axis is not None else _feature_axis(output)
    yield _spread(_mean(output, kept), output, kept)
    if axis is not None:
        yield _spread(_frequencies(output, targets, axis), output, axis)
    elif output.numel() == targets.numel():
        means = _mean(targets.reshape(output.shape).to(output.dtype), kept)
        yield _spread(means, output, kept)
        if float(means.min()) >= 0 and float(means.max()) <= 1:
            yield _spread(means.clamp(_RARE, 1 - _RARE).logit(), output, kept)


def _class_axis(output: Tensor, targets: Tensor) -> int | None:
    """The axis of classes where the targets are their indices."""
    if targets.is_floating_point() or output.dim() < 2 or output.numel() == targets.numel():
        return None
    return output.dim() - 1 if output.shape[:-1] == targets.shape else 1


def _feature_axis(output: Tensor) -> int | None:
    """None where dim 0 alone counts samples and all others are features (images)."""
    return output.dim() - 1 if 1 < output.dim() < 4 else None


def _mean(tensor: Tensor, kept: int | None) -> Tensor:
    if kept is None:
        return tensor.mean(0)
    return tensor.movedim(kept, -1).reshape(-1, tensor.shape[kept]).mean(0)


def _spread(constant: Tensor, output: Tensor, kept: int | None) -> Tensor:
    if kept is None:
        return constant.expand_as(output).contiguous()
    return constant.expand_as(output.movedim(kept, -1)).movedim(-1, kept).contiguous()


def _frequencies(output: Tensor, targets: Tensor, axis: int) -> Tensor:
    classes = output.shape[axis]
    known = targets[(targets >= 0) & (targets < classes)].long()
    counts = torch.bincount(known.reshape(-1), minlength=classes).to(output.dtype)
    shares = (counts / counts.sum().clamp(min=1)).clamp(min=_RARE)
    sums = output.sum(axis)
    is_share = bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums))
    return shares if is_share else shares.log()
