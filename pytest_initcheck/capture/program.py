"""How a model is called on a batch and what its loss is."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves, tree_map

from pytest_initcheck.capture.written import body, function_name
from pytest_initcheck.errors import InitcheckError

LossFunction = Callable[..., Any]
Forward = Callable[[nn.Module, Any], Any]
Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]
TARGET_NAMES = ("labels", "targets", "target", "label", "y")


@dataclass
class Result:
    """One evaluation: the scalar loss, and the model's output where it was seen."""

    loss: Tensor
    output: Any = None
    targets: Any = None


@dataclass(frozen=True)
class Program:
    """Calls a model on a batch; see ``diagnose`` for the forms a batch may have."""

    model: nn.Module
    batch: Any
    loss_fn: LossFunction | None = None
    forward: Forward | None = None

    def evaluate(self, on_batch: Callable[[Any], None] | None = None) -> Result:
        """One forward pass on a fresh copy of the batch, so that in-place code cannot wear it.

        ``on_batch`` receives that copy before the model does.

        Raises:
            InitcheckError: the model or the loss raised, or the loss is not a finite-size scalar
                that depends on a parameter.
        """
        batch = copied(self.batch)
        if on_batch is not None:
            on_batch(batch)
        result = self.observe(batch)
        return Result(_scalar(result.loss), result.output, result.targets)

    def observe(self, batch: Any) -> Result:
        """One forward pass on a batch of the program's form, with the loss as it comes."""
        if self.forward is not None:
            return self._custom(batch)
        inputs, targets = split(batch)
        inputs, targets = self._extract_targets(inputs, targets)
        output = self._call(inputs)
        return Result(self.loss_of(output, targets), output, targets)

    def materialise(self) -> None:
        """Let lazy modules take their shapes from the batch, as their first forward does."""
        if any(is_lazy(parameter) for parameter in self.model.parameters()):
            with torch.no_grad():
                inputs, targets = split(copied(self.batch))
                if self.forward is None:
                    self._call(self._extract_targets(inputs, targets)[0])
                else:
                    self.forward(self.model, copied(self.batch))

    @property
    def loss_name(self) -> str:
        """The loss as the record states it."""
        if self.forward is not None:
            return "forward"
        if self.loss_fn is None:
            return "default"
        return function_name(self.loss_fn)

    @property
    def loss_body(self) -> dict[str, str]:
        """What the loss or ``forward`` calls, where someone wrote it as a function."""
        text = body(self.loss_fn if self.forward is None else self.forward)
        return {"loss calls": text} if text else {}

    def _custom(self, batch: Any) -> Result:
        assert self.forward is not None
        seen: list[Any] = []
        handle = self.model.register_forward_hook(lambda *call: seen.append(call[-1]))
        try:
            loss = self.forward(self.model, batch)
        except Exception as error:
            raise refused("forward(model, batch)", error, "a batch that it accepts") from error
        finally:
            handle.remove()
        return Result(loss, seen[-1] if seen else None)

    def _extract_targets(self, inputs: Any, targets: Any) -> tuple[Any, Any]:
        if targets is not None or not isinstance(inputs, Mapping):
            return inputs, targets
        known = _parameters_of(self.model)
        for name in TARGET_NAMES:
            if name in inputs and known is not None and name not in known:
                return {k: v for k, v in inputs.items() if k != name}, inputs[name]
        return inputs, next((inputs[n] for n in TARGET_NAMES if n in inputs), None)

    def _call(self, inputs: Any) -> Any:
        try:
            if isinstance(inputs, Mapping):
                return self.model(**inputs)
            if isinstance(inputs, (tuple, list)):
                return self.model(*inputs)
            return self.model(inputs)
        except Exception as error:
            wanted = "inputs that it accepts as batch=(inputs, targets), or forward=…"
            raise refused("the model's forward", error, wanted) from error

    def loss_of(self, output: Any, targets: Any) -> Any:
        """The loss of an output that the model gave, or that stands in for one."""
        if self.loss_fn is None:
            return default_loss(output, targets)
        if _is_torch_loss(self.loss_fn):
            output = main_tensor(output)
        try:
            return self.loss_fn(output) if targets is None else self.loss_fn(output, targets)
        except Exception as error:
            wanted = "a loss that takes (output, targets) as the model gives them, or forward=…"
            raise refused("loss_fn", error, wanted) from error


def split(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets of a batch; targets None where the batch is inputs alone."""
    if isinstance(batch, (tuple, list)):
        if len(batch) != 2:
            raise InitcheckError(
                f"the batch is a {type(batch).__name__} of {len(batch)} items; pass (inputs, "
                "targets), where inputs may itself be a tuple, or a mapping, or one tensor"
            )
        return batch[0], batch[1]
    return batch, None


def copied(tree: Any) -> Any:
    """The same structure with every tensor replaced by a copy."""
    return _mapped(lambda t: t.detach().clone().requires_grad_(t.requires_grad), tree)


def _mapped(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same structure with every tensor changed, in mappings of any class too."""

    def leaf(value: Any) -> Any:
        if isinstance(value, MutableMapping):
            found = copy.copy(value)
            found.update({key: _mapped(change, item) for key, item in value.items()})
            return found
        return change(value) if isinstance(value, Tensor) else value

    return tree_map(leaf, tree)


def _leaves(tree: Any) -> list[Any]:
    found = (_leaves(dict(leaf)) if isinstance(leaf, Mapping) else [leaf]
             for leaf in tree_leaves(tree))  # fmt: skip
    return [leaf for leaves in found for leaf in leaves]


def tensors_of(tree: Any) -> list[Tensor]:
    """All tensors in a nest of tuples, lists and mappings; model outputs with attributes too."""
    found = [leaf for leaf in _leaves(tree) if isinstance(leaf, Tensor)]
    if not found and hasattr(tree, "__dict__"):
        found = [value for value in vars(tree).values() if isinstance(value, Tensor)]
    return found


def main_tensor(output: Any) -> Any:
    """The tensor that a loss is meant for: "logits", "out" or the first floating one."""
    if isinstance(output, Tensor):
        return output
    for name in ("logits", "out"):
        value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(value, Tensor):
            return value
    floating = (tensor for tensor in tensors_of(output) if tensor.is_floating_point())
    return next(floating, output)


def default_loss(output: Any, targets: Any) -> Tensor:
    """The loss where none was passed: the output's own, cross-entropy, or mean squared error."""
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(own, Tensor):
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
            "there is no loss: pass batch=(inputs, targets), or loss_fn=… for an output alone, or "
            "forward=…, or a model whose output has a .loss"
        )
    if targets.is_floating_point():
        return _squared_error(logits, targets)
    return _cross_entropy(logits, targets)


def _squared_error(output: Tensor, targets: Tensor) -> Tensor:
    if output.shape != targets.shape:
        raise InitcheckError(
            f"floating targets of shape {tuple(targets.shape)} do not match the output's "
            f"{tuple(output.shape)}; pass targets of the output's shape, or loss_fn=…"
        )
    return functional.mse_loss(output, targets)


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


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor):
        raise InitcheckError(
            f"the loss is a {type(loss).__name__}, not a tensor; return the loss before .item()"
        )
    if loss.numel() != 1:
        raise InitcheckError(
            f"the loss has shape {tuple(loss.shape)}, not that of a scalar; pass a loss that "
            "reduces, such as reduction='mean'"
        )
    if not loss.requires_grad:
        raise InitcheckError(
            "the loss does not depend on any trainable parameter; do not detach the output or "
            "compute it under no_grad, and leave some parameter trainable"
        )
    return loss.reshape(())


def refused(what: str, error: Exception, wanted: str) -> InitcheckError:
    """The one error for user code that raised: what it was, what it said, what to pass."""
    if isinstance(error, InitcheckError):
        return error
    text = " ".join(str(error).split())[:300]
    return InitcheckError(f"{what} raised {type(error).__name__}: {text}; pass {wanted}")


def _parameters_of(model: nn.Module) -> set[str] | None:
    signature = inspect.signature(model.forward)
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return None
    return set(signature.parameters)


def _is_torch_loss(loss_fn: LossFunction) -> bool:
    module = getattr(loss_fn, "__module__", "") or type(loss_fn).__module__
    return module.startswith(("torch.nn.functional", "torch.nn.modules.loss"))


def no_grad_loss(program: Program, output: Tensor, targets: Any) -> float | None:
    """The loss of a given output, or None where the loss cannot take it."""
    try:
        with torch.no_grad():
            value = program.loss_of(output, targets)
            return float(value) if value.numel() == 1 else None
    except Exception:
        # A constant output may lie outside of what the loss is defined for.
        return None


def moved(tree: Any, device: torch.device) -> Any:
    """The same structure with every tensor on ``device``."""
    return _mapped(lambda tensor: tensor.to(device), tree)
