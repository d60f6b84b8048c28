"""Random inputs, and targets that fit a model's output; the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pytest_initcheck.capture.tree import tensors_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.subjects.spec import Asked, InputSpec

# Token ids where no vocabulary is known: every embedding has that many rows.
_FEW = 2


@dataclass(frozen=True)
class Source:
    """Draws data of one seed, on a device and of a type."""

    generator: torch.Generator
    dtype: torch.dtype
    vocab: int | None = None

    @classmethod
    def of(cls, asked: Asked, vocab: int | None) -> Source:
        """The source that was asked for."""
        generator = torch.Generator().manual_seed(asked.seed)
        return cls(generator, getattr(torch, asked.dtype), vocab)

    def drawn(self, spec: InputSpec) -> Tensor:
        """One input: normal values, token ids, or ones for a mask."""
        kind = getattr(torch, spec.kind) if spec.kind else None
        if "mask" in spec.name or kind == torch.bool:
            return torch.ones(spec.shape, dtype=kind or torch.long)
        if "position" in spec.name:
            return torch.arange(spec.shape[-1]).expand(spec.shape)
        if "type_ids" in spec.name or "segment" in spec.name:
            return torch.zeros(spec.shape, dtype=torch.long)
        if kind is None and self.vocab is None:
            return torch.randn(spec.shape, generator=self.generator).to(self.dtype)
        if kind is not None and kind.is_floating_point:
            return torch.randn(spec.shape, generator=self.generator).to(kind)
        most = 256 if kind == torch.uint8 else self.vocab or _FEW
        ids = torch.randint(0, most, spec.shape, generator=self.generator)
        return ids.to(kind or torch.long)

    def labels(self, shape: tuple[int, ...], classes: int) -> Tensor:
        """Labels of a number of classes for an output of that shape."""
        axis = class_axis(shape, classes)
        labels = shape[:axis] + shape[axis + 1 :]
        return torch.randint(0, classes, labels, generator=self.generator)

    def one_hot(self, shape: tuple[int, ...], classes: int) -> Tensor:
        """The same as shares, of the output's shape."""
        labels = self.labels(shape, classes)
        shares = functional.one_hot(labels, classes).movedim(-1, class_axis(shape, classes))
        return shares.to(self.dtype)

    def values(self, shape: tuple[int, ...], values: int | None) -> Tensor:
        """Normal values of an output's shape, of which a sample has that many."""
        held = shape[-1] if len(shape) > 1 else 1
        if values is not None and held != values:
            raise InitcheckError(
                f"the model's output has shape {shape}: {held} values per sample; pass "
                f"--regression {held}, or --classes N for logits"
            )
        return torch.randn(shape, generator=self.generator).to(self.dtype)


def class_axis(shape: tuple[int, ...], classes: int) -> int:
    """The axis of an output that holds the classes.

    Raises:
        InitcheckError: none does.
    """
    # Logits come as (N, C), (N, T, C) or, for images, (N, C, H, W).
    axes = (1, len(shape) - 1) if len(shape) > 3 else (len(shape) - 1, 1)
    for axis in axes:
        if 0 < axis < len(shape) and shape[axis] == classes:
            return axis
    raise InitcheckError(
        f"the model's output has shape {shape}, in which no axis holds {classes} classes; "
        "pass --classes with the number of logits, or --regression N"
    )


def guessed_classes(shape: tuple[int, ...], inputs: Any) -> int | None:
    """How many classes an output seems to be the logits of; None for one of values."""
    if len(shape) < 2 or shape in [tuple(tensor.shape) for tensor in tensors_of(inputs)]:
        return None
    count = shape[1] if len(shape) > 3 else shape[-1]
    return count if count > 1 else None
