"""The loss where none was passed, and the loss in what a model, a loss or a step returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pytest_initcheck.capture.tree import main_tensor
from pytest_initcheck.errors import InitcheckError


def default_loss(output: Any, targets: Any, *, is_inside: bool = False) -> Tensor:
    """The loss where none was passed: the output's own, cross-entropy, or mean squared error.

    ``is_inside`` says that the model was handed the targets, so that a scalar that it returns is
    its loss.
    """
    own = own_loss(output, is_inside=is_inside or targets is None)
    if own is not None:
        return own
    logits = main_tensor(output)
    if not isinstance(logits, Tensor) or not (logits.is_floating_point() or logits.is_complex()):
        kind = getattr(logits, "dtype", type(output).__name__)
        raise InitcheckError(
            f"the model's output is {kind}, from which no gradient comes; pass loss_fn=… or "
            "forward=… that makes a differentiable scalar of it"
        )
    if not isinstance(targets, Tensor):
        raise InitcheckError(
            f"there is no loss: the batch holds no targets{_of(targets)}; pass batch=(inputs, "
            "targets), or labels in a mapping that the model takes, or loss_fn=… for an output "
            "alone, or forward=…"
        )
    if targets.is_floating_point():
        return _squared_error(logits, targets)
    return _cross_entropy(logits, targets)


def _of(targets: Any) -> str:
    return "" if targets is None else f" but a {type(targets).__name__}"


def own_loss(output: Any, *, is_inside: bool) -> Tensor | None:
    """The loss that an output brings: ``.loss``, a mapping of losses, or a scalar."""
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(own, Tensor):
        return own
    if parts := loss_parts(output):
        return torch.stack([part.reshape(()) for part in parts.values()]).sum()
    return scalar_in(output) if is_inside else None


def loss_parts(output: Any) -> dict[str, Tensor]:
    """The losses of a mapping that holds nothing else, as detectors return them in training."""
    if not isinstance(output, Mapping) or "loss" in output:
        return {}
    found = {str(k): v for k, v in output.items() if _is_loss(v) and v.dim() == 0}
    return found if len(found) == len(output) else {}


def scalar_in(output: Any) -> Tensor | None:
    """The scalar that an output is, or the first in a tuple."""
    candidates = output if isinstance(output, (tuple, list)) else [output]
    return next((one for one in candidates if _is_loss(one) and one.dim() == 0), None)


def loss_within(returned: Any) -> Any:
    """The loss in what a loss or a step returned: under "loss", a sum, or the first of a tuple."""
    if isinstance(returned, Mapping):
        found = own_loss(returned, is_inside=False)
        return returned if found is None else found
    if isinstance(returned, (tuple, list)) and returned and _is_loss(returned[0]):
        return returned[0]
    return returned


def _is_loss(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point()


def _squared_error(output: Tensor, targets: Tensor) -> Tensor:
    if output.shape != targets.shape:
        raise InitcheckError(
            f"floating targets of shape {tuple(targets.shape)} do not match the output's "
            f"{tuple(output.shape)}; pass {_fitting(output, targets)}, or loss_fn=…"
        )
    return functional.mse_loss(output, targets)


def _fitting(output: Tensor, targets: Tensor) -> str:
    if output.shape == (*targets.shape, 1):
        return "targets of the output's shape, targets.unsqueeze(-1)"
    if output.dim() == 2 and targets.dim() == 1 and bool((targets == targets.round()).all()):
        return "class indices as whole numbers, targets.long()"
    return "targets of the output's shape"


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    targets = targets.long()
    if logits.dim() == targets.dim() == 2 and targets.shape[1] == 1 and logits.shape[1] != 1:
        targets = targets[:, 0]
    if logits.numel() == targets.numel():
        flat = targets.reshape(logits.shape)
        return functional.binary_cross_entropy_with_logits(logits, flat.to(logits.dtype))
    if logits.dim() > 2 and logits.shape[:-1] == targets.shape:
        logits, targets = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    expected = logits.shape[:1] + logits.shape[2:]
    if logits.dim() < 2 or expected != targets.shape:
        raise InitcheckError(
            f"integer targets of shape {tuple(targets.shape)} do not fit logits of shape "
            f"{tuple(logits.shape)}; pass one class index per prediction, or loss_fn=…"
        )
    classes = logits.shape[1]
    known = targets[targets != -100]
    if known.numel() and (int(known.max()) >= classes or int(known.min()) < 0):
        raise InitcheckError(
            f"targets reach from {int(known.min())} to {int(known.max())}, but the output has "
            f"{classes} classes; pass class indices from 0 to {classes - 1}"
        )
    return functional.cross_entropy(logits, targets)
