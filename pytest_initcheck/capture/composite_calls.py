"""Sees calls as the author wrote them: switches dropout off, names composite functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from pytest_initcheck.capture.modes import Arguments, FunctionMode, Options
from pytest_initcheck.capture.nonlinearity import SOFTSIGN, TANHSHRINK
from pytest_initcheck.capture.trace import Tracer

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

# Attention draws its dropout inside, where no function mode sees it; the place of its rate.
_RATES = {functional.scaled_dot_product_attention: 4, functional.multi_head_attention_forward: 10}
# Nonlinearities that the dispatcher only sees as the arithmetic they are made of.
_COMPOSITES = {functional.softsign: SOFTSIGN, functional.tanhshrink: TANHSHRINK}


def switch_off_dropout(model: nn.Module) -> None:
    """Set the rates of the model's own dropouts to zero, but for those that drop everything.

    Code that a checkpoint runs again on another thread is out of reach of any function mode. The
    caller has saved the model's state.
    """
    for module in model.modules():
        if isinstance(module, _DropoutNd) and module.p < 1:
            module.p = 0.0
        elif isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) and module.dropout < 1:
            module.dropout = 0.0


class CompositeCalls(FunctionMode):
    """Dropout passes its input on: its noise would hide which units are alike.

    Dropout separates locked units only slowly, so that a model which trains well only thanks to
    it is still at fault. A dropout of everything (p = 1) is left as it is.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        super().__init__()
        self._tracer = tracer
        # Whether any call was made another one.
        self.is_needed = False

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        if func in _RATES:
            args, kwargs, is_changed = _undropped(_RATES[func], args, kwargs)
            self.is_needed = self.is_needed or is_changed
        if func in _DROPOUTS and self._rate(args, kwargs) < 1:
            self.is_needed = True
            return args[0] if args else kwargs["input"]
        if func in _COMPOSITES:
            data = args[0] if args else kwargs["input"]
            out = func(*args, **kwargs)
            if self._tracer is not None:
                self._tracer.see_composite(_COMPOSITES[func], data, out)
            return out
        return func(*args, **kwargs)

    def _rate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        rate = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
        return float(rate) if isinstance(rate, (int, float)) else 0.5


def _undropped(
    place: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """The arguments of attention with a dropout rate of zero, and whether it had another."""
    if len(args) > place:
        return (*args[:place], 0.0, *args[place + 1 :]), kwargs, args[place] != 0.0
    return args, {**kwargs, "dropout_p": 0.0}, kwargs.get("dropout_p", 0.0) != 0.0
