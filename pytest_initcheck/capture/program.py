"""How a model is called on a batch and what its loss is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.capture.default_loss import default_loss, loss_parts, loss_within
from pytest_initcheck.capture.hints import for_forward, for_function, for_loss, seen
from pytest_initcheck.capture.tree import copied, main_tensor, moved, tensors_of
from pytest_initcheck.capture.whole import Whole
from pytest_initcheck.capture.written import body, function_name
from pytest_initcheck.errors import InitcheckError

__all__ = [
    "TARGET_NAMES", "Forward", "LossFunction", "Optimizer", "Program", "Result", "copied",
    "default_loss", "is_torch_loss", "main_tensor", "moved", "no_grad_loss", "refused", "split",
    "tensors_of",
]  # fmt: skip

LossFunction = Callable[..., Any]
Forward = Callable[[nn.Module, Any], Any]
Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]
TARGET_NAMES = ("labels", "targets", "target", "label", "y")


@dataclass
class Result:
    """One evaluation: the scalar loss, and the model's output where it was seen.

    ``returned`` is what the loss was taken from, ``parts`` are the losses that it is the sum of.
    """

    loss: Tensor
    output: Any = None
    targets: Any = None
    returned: Any = None
    parts: dict[str, Tensor] = field(default_factory=dict)


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
        result.loss = _scalar(result.loss)
        return result

    def observe(self, batch: Any) -> Result:
        """One forward pass on a batch of the program's form, with the loss as it comes."""
        if self.forward is not None:
            return self._custom(batch)
        inputs, targets = split(batch)
        inputs, targets = self._extract_targets(inputs, targets)
        output = self._call(inputs, targets)
        loss = self.loss_of(output, targets)
        parts = loss_parts(output) if self.loss_fn is None else {}
        return Result(loss, output, targets, output, parts)

    def materialise(self) -> bool:
        """Let lazy modules take their shapes from the batch, as their first forward does.

        Whether there were any, so that the model has run.
        """
        has_lazy = any(is_lazy(parameter) for parameter in self.model.parameters())
        if has_lazy:
            with torch.no_grad():
                inputs, targets = split(copied(self.batch))
                if self.forward is None:
                    self._call(*self._extract_targets(inputs, targets))
                else:
                    self.forward(self.model, copied(self.batch))
        return has_lazy

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
        outputs: list[Any] = []
        handle = self.model.register_forward_hook(lambda *call: outputs.append(call[-1]))
        try:
            loss = self.forward(self.model, batch)
        except Exception as error:
            wanted = for_function(error, batch)
            raise refused("forward(model, batch)", error, wanted, seen(batch)) from error
        finally:
            handle.remove()
        output = outputs[-1] if outputs else None
        return Result(loss_within(loss), output, None, loss, loss_parts(loss))

    def _extract_targets(self, inputs: Any, targets: Any) -> tuple[Any, Any]:
        if targets is not None or not isinstance(inputs, Mapping):
            return inputs, targets
        name = next((n for n in TARGET_NAMES if n in inputs), None)
        if name is None:
            return inputs, None
        if self.gets_targets:
            return inputs, inputs[name]
        return {k: v for k, v in inputs.items() if k != name}, inputs[name]

    @property
    def gets_targets(self) -> bool:
        """Whether the model is handed the targets itself, as those that return a loss are."""
        if self.forward is not None or not isinstance(self.batch, Mapping):
            return False
        known = None if isinstance(self.batch, Whole) else _parameters_of(self.model)
        name = next((n for n in TARGET_NAMES if n in self.batch), None)
        return name is not None and (known is None or name in known)

    def _call(self, inputs: Any, targets: Any = None) -> Any:
        try:
            if isinstance(inputs, Whole):
                return self.model(inputs.built())
            if isinstance(inputs, Mapping):
                return self.model(**inputs)
            if isinstance(inputs, (tuple, list)):
                return self.model(*inputs)
            return self.model(inputs)
        except Exception as error:
            wanted = for_forward(error, self.model, inputs, targets)
            raise refused("the model's forward", error, wanted, seen(inputs)) from error

    def loss_of(self, output: Any, targets: Any) -> Any:
        """The loss of an output that the model gave, or that stands in for one."""
        if self.loss_fn is None:
            return default_loss(output, targets, is_inside=self.gets_targets)
        if is_torch_loss(self.loss_fn):
            output = main_tensor(output)
        try:
            loss = self.loss_fn(output) if targets is None else self.loss_fn(output, targets)
            return loss_within(loss)
        except Exception as error:
            given = f"{seen(output)} and {seen(targets)}"
            raise refused("loss_fn", error, for_loss(error, output, targets), given) from error


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


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor):
        raise InitcheckError(f"the loss is {seen(loss)}, not a tensor; {_instead_of(loss)}")
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


def _instead_of(loss: Any) -> str:
    if isinstance(loss, Mapping):
        return "return a mapping with 'loss', or of losses alone"
    if isinstance(loss, (tuple, list)):
        return "return the loss alone, or first"
    return "return it, as a tensor" if loss is None else "return the loss before .item()"


def refused(what: str, error: Exception, wanted: str, given: str = "") -> InitcheckError:
    """The one error for user code that raised: what it was and got, what it said, what to pass."""
    if isinstance(error, InitcheckError):
        return error
    text = " ".join(str(error).split())[:300]
    got = f"; it was given {given}" if given else ""
    return InitcheckError(f"{what} raised {type(error).__name__}: {text}{got}; pass {wanted}")


def _parameters_of(model: nn.Module) -> set[str] | None:
    signature = inspect.signature(model.forward)
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return None
    return set(signature.parameters)


def is_torch_loss(loss_fn: LossFunction) -> bool:
    """Whether a loss is one of torch's, which takes one tensor of the output."""
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
