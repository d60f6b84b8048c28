"""Whether a program computes with tensors of kinds that lack some operations of torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.modes import Arguments, FunctionMode, Options
from pytest_initcheck.capture.operators import flat_tensors
from pytest_initcheck.capture.program import Program


def has_unusual_tensors(program: Program) -> bool:
    """Whether a call of the model or the loss takes or gives a complex, sparse or nested tensor.

    One forward pass; the caller puts the model's state back.
    """
    seen = _Seen()
    with torch.enable_grad(), torch.compiler.set_stance("force_eager"), seen:
        program.evaluate()
    return seen.is_unusual


class _Seen(FunctionMode):
    is_unusual = False

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        out = func(*args, **kwargs)
        self.is_unusual |= any(map(_is_unusual, flat_tensors((args, kwargs, out))))
        return out


def _is_unusual(tensor: Tensor) -> bool:
    return tensor.is_complex() or tensor.is_nested or tensor.layout != torch.strided
