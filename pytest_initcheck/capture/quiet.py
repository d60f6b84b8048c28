"""Switches dropout off while looks are taken, without touching the model."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_DROPOUTS = {
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
    functional.feature_alpha_dropout,
    torch.dropout,
    torch.dropout_,
    torch.alpha_dropout,
    torch.feature_dropout,
    torch.feature_alpha_dropout,
}


class quiet(TorchFunctionMode):
    """Dropout passes its input on: its noise would hide which units are alike.

    Dropout separates locked units only slowly, so that a model which trains well only thanks to
    it is still at fault. A dropout of everything (p = 1) is left as it is.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DROPOUTS and self._rate(args, kwargs) < 1:
            return args[0] if args else kwargs["input"]
        return func(*args, **kwargs)

    def _rate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
        return float(rate) if isinstance(rate, (int, float)) else 0.5
