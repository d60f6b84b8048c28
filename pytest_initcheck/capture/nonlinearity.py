"""The nonlinearities that are recognised, as operators of the dispatcher, and their slopes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.evidence.nonlinearities import KINDS, Family

# Masks subtract ten thousand, a billion or infinity; no score is so far below another.
MASKED = 5e3
Slope = Callable[[Tensor, tuple[Any, ...], dict[str, Any]], Tensor]


@dataclass(frozen=True)
class Nonlinearity:
    """A nonlinearity: ``slope(x, args, kwargs)`` is |f'(x)| divided by its largest value.

    ``flat`` is the relative slope under which a sample passes no gradient: exactly 0 where the
    function has a flat piece; 1e-3 where it only tends to one, since an average over samples
    that small is lost beside the other units. ``is_binary``: the slope is 0 or 1, nothing else.
    """

    name: str
    slope: Slope
    flat: float = 0.0
    is_binary: bool = False

    @property
    def family(self) -> Family:
        """Whether it rectifies, squashes, chooses, or does something else."""
        return KINDS[self.name].family


def _above(x: Tensor) -> Tensor:
    """1 above zero, else 0, for NaN too; in a tenth of the time that a comparison takes."""
    return x.sign().clamp_(min=0)


def _between(x: Tensor, low: float, high: float) -> Tensor:
    above = _above(x - low) if low > -math.inf else _one(x)
    return above.mul_(_above(high - x)) if high < math.inf else above


def _sigmoid(x: Tensor, *_: Any) -> Tensor:
    p = torch.sigmoid(x)
    return (p * (1 - p)).mul(4)


def _tanh(x: Tensor, *_: Any) -> Tensor:
    return 1 - torch.tanh(x).square()


def _clamp(x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    low = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("min_val"))
    high = args[2] if len(args) > 2 else kwargs.get("max", kwargs.get("max_val"))
    return _between(x, -math.inf if low is None else low, math.inf if high is None else high)


def _hardtanh(x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    low = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
    high = args[2] if len(args) > 2 else kwargs.get("max_val", 1.0)
    return _between(x, low, high)


def _threshold(x: Tensor, args: tuple[Any, ...], _: dict[str, Any]) -> Tensor:
    return _between(x, args[1], math.inf)


def _gelu(x: Tensor, *_: Any) -> Tensor:
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    return (0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * density).abs() / 1.1290


def _silu(x: Tensor, *_: Any) -> Tensor:
    p = torch.sigmoid(x)
    return (p * (1 + x * (1 - p))).abs() / 1.0998


def _mish(x: Tensor, *_: Any) -> Tensor:
    t = torch.tanh(torch.nn.functional.softplus(x))
    return (t + x * torch.sigmoid(x) * (1 - t.square())).abs() / 1.0885


def _elu(x: Tensor, *_: Any) -> Tensor:
    return torch.exp(x.clamp(max=0))


def _hardswish(x: Tensor, *_: Any) -> Tensor:
    inside = (x > -3) & (x < 3)
    return torch.where(inside, (2 * x + 3).abs() / 9, (x >= 3).to(x.dtype) * 2 / 3)


def _softmax(x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    # The trace of the Jacobian diag(p) - p pᵀ against its value at uniform p.
    dim = args[1] if len(args) > 1 else kwargs.get("dim", -1)
    p = torch.softmax(x, dim).nan_to_num(0.0)
    # Masked positions are no choice; whoever has one choice left loses nothing by taking it.
    n = (x > x.amax(dim, keepdim=True) - MASKED).sum(dim).clamp(min=1)
    slope = (1 - p.square().sum(dim)) / (1 - 1 / n.to(p.dtype)).clamp(min=0.5)
    return torch.where(n > 1, slope, float(p.shape[dim] > 1))


def _one(x: Tensor, *_: Any) -> Tensor:
    return torch.ones_like(x)


def _softsign(x: Tensor, *_: Any) -> Tensor:
    return (1 + x.abs()).square().reciprocal()


SOFTSIGN = Nonlinearity("softsign", _softsign, 1e-3)
TANHSHRINK = Nonlinearity("tanhshrink", _one, is_binary=True)
_relu = Nonlinearity("relu", lambda x, *_: _above(x), is_binary=True)
_clamped = Nonlinearity("clamp", _clamp, is_binary=True)
_soft = Nonlinearity("softmax", _softmax)
_TABLE = {
    "relu": _relu,
    "threshold": Nonlinearity("threshold", _threshold, is_binary=True),
    "clamp_min": _clamped,
    "clamp": _clamped,
    "hardtanh": Nonlinearity("hardtanh", _hardtanh, is_binary=True),
    "relu6": Nonlinearity("relu6", lambda x, *_: _between(x, 0, 6), is_binary=True),
    "hardswish": Nonlinearity("hardswish", _hardswish),
    "hardsigmoid": Nonlinearity("hardsigmoid", lambda x, *_: _between(x, -3, 3), is_binary=True),
    "gelu": Nonlinearity("gelu", _gelu, 1e-3),
    "silu": Nonlinearity("silu", _silu, 1e-3),
    "mish": Nonlinearity("mish", _mish, 1e-3),
    "elu": Nonlinearity("elu", _elu, 1e-3),
    "celu": Nonlinearity("celu", _elu, 1e-3),
    "selu": Nonlinearity("selu", _elu, 1e-3),
    "softplus": Nonlinearity("softplus", lambda x, *_: torch.sigmoid(x), 1e-3),
    "log_sigmoid_forward": Nonlinearity("logsigmoid", lambda x, *_: torch.sigmoid(-x), 1e-3),
    "sigmoid": Nonlinearity("sigmoid", _sigmoid, 1e-3),
    "tanh": Nonlinearity("tanh", _tanh, 1e-3),
    "_softmax": _soft,
    "_safe_softmax": _soft,
    "leaky_relu": Nonlinearity("leaky_relu", _one, is_binary=True),
    "_prelu_kernel": Nonlinearity("prelu", _one, is_binary=True),
    "rrelu_with_noise": Nonlinearity("rrelu", _one, is_binary=True),
    "glu": Nonlinearity("glu", _one, is_binary=True),
    "sin": Nonlinearity("sin", _one, is_binary=True),
    "exp": Nonlinearity("exp", _one, is_binary=True),
}


def recognise(operator: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Nonlinearity | None:
    """The nonlinearity that a call of an ATen operator ("relu_", "sigmoid", …) is, if any."""
    found = _TABLE.get(operator.removesuffix("_") if operator != "_" else operator)
    if found is None:
        return None
    if found.name == "hardtanh" and len(args) > 2 and (args[1], args[2]) == (0, 6):
        return _TABLE["relu6"]
    if found.name == "clamp" and not _is_rectifying(args, kwargs):
        return None
    return found


def _is_rectifying(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    # Only a clamp at zero from below is used as an activation; others guard a range.
    low = args[1] if len(args) > 1 else kwargs.get("min")
    return isinstance(low, (int, float)) and low == 0
