"""Whether a model chooses, by its data or by chance, what it reads of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options

# What is not chosen leaves no trace in the result, though it would with other data.
_CHOICES = frozenset({
    "max", "min", "amax", "amin", "aminmax", "argmax", "argmin", "cummax", "cummin", "topk",
    "sort", "kthvalue", "median", "nanmedian", "mode", "where", "masked_select", "masked_fill",
    "masked_scatter", "nonzero", "gather", "take", "_local_scalar_dense", "_pack_padded_sequence",
    "rand", "rand_like", "randint", "randint_like", "randperm", "uniform", "bernoulli",
    "multinomial",
})  # fmt: skip
# A window that is moved by more than one place leaves some at the end.
_WINDOWS = ("convolution", "pool", "unfold", "im2col", "upsample", "grid_sampler")


class Choices(OperatorMode):
    """Keeps the first operator of the model that looks at a part of what it is given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = ""
        self._is_inside = False

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Tell what the model runs from what runs around it, such as the loss."""
        hooks = (
            model.register_forward_pre_hook(lambda *_: self._enter(True)),
            model.register_forward_hook(lambda *_: self._enter(False)),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, is_inside: bool) -> None:
        self._is_inside = is_inside

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        name = func.overloadpacket.__name__
        if self._is_inside and not self.found and _chooses(name.rstrip("_"), args):
            self.found = name
        return func(*args, **kwargs)


def _chooses(name: str, args: tuple[Any, ...]) -> bool:
    if name in _CHOICES or any(part in name for part in _WINDOWS):
        return True
    if name not in ("index", "index_put"):
        return False
    # One list of columns is the same for all samples; a flag, or two lists, are not.
    indices = [index for index in args[1] if isinstance(index, Tensor)]
    return len(indices) > 1 or any(index.dtype == torch.bool for index in indices)
