"""Random inputs and targets that fit a model's output."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pytest_initcheck.capture.program import LossFunction, main_tensor
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError


def make_batch(
    arguments: argparse.Namespace, model: nn.Module, device: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Inputs of shape ``--input``, and targets that the loss takes beside the model's output.

    Raises:
        InitcheckError: the model does not take such inputs, or its output does not hold as many
            classes or values as asked for.
    """
    source = torch.Generator().manual_seed(arguments.seed)
    if arguments.vocab is not None:
        inputs = torch.randint(0, arguments.vocab, arguments.input, generator=source)
    else:
        inputs = torch.randn(arguments.input, generator=source).to(dtype)
    inputs = inputs.to(device)
    shape = _output_shape(model, inputs)
    if arguments.regression is not None:
        targets = _values(shape, arguments.regression, source).to(dtype)
    else:
        targets = _labels(shape, arguments.classes, source)
        if arguments.loss == "mse":
            axis = _class_axis(shape, arguments.classes)
            targets = functional.one_hot(targets, arguments.classes).movedim(-1, axis).to(dtype)
    return inputs, targets.to(device)


def make_loss(arguments: argparse.Namespace) -> LossFunction | None:
    """The loss that ``--loss`` names; None for the one that the targets imply.

    Raises:
        InitcheckError: it does not go with the targets.
    """
    if arguments.loss == "cross_entropy" and arguments.regression is not None:
        raise InitcheckError(
            "--loss cross_entropy needs labels; pass --classes N in place of --regression"
        )
    return None


def _output_shape(model: nn.Module, inputs: Tensor) -> tuple[int, ...]:
    wanted = "pass an --input that the model accepts (--vocab N for token ids)"
    try:
        with preserved(model), torch.no_grad():
            output: Any = main_tensor(model(inputs))
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        shape = ",".join(map(str, inputs.shape))
        raise InitcheckError(
            f"the model's forward raised {type(error).__name__} on inputs of shape {shape}: "
            f"{text}; {wanted}"
        ) from error
    if not isinstance(output, Tensor):
        raise InitcheckError("the model's output holds no tensor; write a test with forward=…")
    return tuple(output.shape)


def _class_axis(shape: tuple[int, ...], classes: int) -> int:
    # Logits come as (N, C), (N, T, C) or, for images, (N, C, H, W).
    axes = (1, len(shape) - 1) if len(shape) > 3 else (len(shape) - 1, 1)
    for axis in axes:
        if 0 < axis < len(shape) and shape[axis] == classes:
            return axis
    raise InitcheckError(
        f"the model's output has shape {shape}, in which no axis holds {classes} classes; "
        "pass --classes with the number of logits, or --regression N"
    )


def _labels(shape: tuple[int, ...], classes: int, source: torch.Generator) -> Tensor:
    axis = _class_axis(shape, classes)
    return torch.randint(0, classes, shape[:axis] + shape[axis + 1 :], generator=source)


def _values(shape: tuple[int, ...], values: int, source: torch.Generator) -> Tensor:
    held = shape[-1] if len(shape) > 1 else 1
    if held != values:
        raise InitcheckError(
            f"the model's output has shape {shape}: {held} values per sample; pass "
            f"--regression {held}, or --classes N for logits"
        )
    return torch.randn(shape, generator=source)
