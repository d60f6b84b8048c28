"""Small models that start as they should; `pytest_initcheck.testing` offers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Residual(nn.Module):
    """A block whose branch starts at zero: its last normalisation has no gain yet."""

    def __init__(self) -> None:
        super().__init__()
        width = 16
        self.one = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_one = nn.BatchNorm2d(width)
        self.two = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_two = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm_two.weight)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm_one(self.one(x)))
        return functional.relu(x + self.norm_two(self.two(inner)))


class _Pooled(nn.Module):
    """A body over a sequence, the mean over its positions, and a head."""

    def __init__(self, embedding: nn.Module, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.embedding, self.body, self.head = embedding, body, head

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(self.embedding(x))
        out = out[0] if isinstance(out, tuple) else out
        return torch.as_tensor(self.head(out.mean(1)))


def _labelled(*shape: int) -> tuple[Tensor, Tensor]:
    """Standard normal inputs whose class is the largest of four random projections."""
    x = torch.randn(*shape)
    flat = x.flatten(1)
    return x, (flat @ torch.randn(flat.shape[1], 4)).argmax(1)


def _dense() -> tuple[nn.Module, Any]:
    layers = [nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.xavier_uniform_(layers[-1].weight)  # type: ignore[arg-type]
    return nn.Sequential(*layers), _labelled(64, 16)


def _regression() -> tuple[nn.Module, Any]:
    parts = [nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2)]
    x = torch.randn(64, 8)
    return nn.Sequential(*parts), (x, x @ torch.randn(8, 2) / 8**0.5)


def _convolutional() -> tuple[nn.Module, Any]:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 4),
    )
    return model, _labelled(32, 3, 12, 12)


def _residual() -> tuple[nn.Module, Any]:
    parts = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    parts += [_Residual(), _Residual(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4)]
    return nn.Sequential(*parts), _labelled(32, 3, 12, 12)


def _normalised() -> tuple[nn.Module, Any]:
    model = nn.Sequential(
        nn.Linear(16, 48), nn.LayerNorm(48), nn.GELU(), nn.Dropout(0.1), nn.Linear(48, 4)
    )
    return model, _labelled(64, 16)


def _recurrent() -> tuple[nn.Module, Any]:
    model = _Pooled(nn.Identity(), nn.GRU(8, 32, batch_first=True), nn.Linear(32, 4))
    return model, _labelled(64, 10, 8)


def _transformer() -> tuple[nn.Module, Any]:
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
    body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    tokens = torch.randint(0, 20, (64, 12))
    targets = (tokens < 10).sum(1).clamp(4, 7) - 4
    return _Pooled(nn.Embedding(20, 32), body, nn.Linear(32, 4)), (tokens, targets)


def _autoencoder() -> tuple[nn.Module, Any]:
    model = nn.Sequential(nn.Linear(16, 8), nn.SiLU(), nn.Linear(8, 16))
    x = torch.randn(64, 4) @ torch.randn(4, 16) / 2
    return model, (x, x.clone())


BUILDERS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "dense, ReLU, Kaiming": _dense,
    "regression, tanh": _regression,
    "convolutions with batch normalisation": _convolutional,
    "residual branches that start at zero": _residual,
    "layer normalisation, GELU, dropout": _normalised,
    "recurrent": _recurrent,
    "transformer over tokens": _transformer,
    "autoencoder": _autoencoder,
}
