"""Fresh models and batches for the measurements of the comparison with baselines."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Made = tuple[nn.Module, object, dict[str, object]]
MODELS: dict[str, Callable[[], Made]] = {}


def model(make: Callable[[], Made]) -> Callable[[], Made]:
    """Register a maker of a fresh model with a fresh batch."""
    MODELS[make.__name__.replace("_", " ")] = make
    return make


def images(
    n: int = 32, channels: int = 3, size: int = 16, classes: int = 10
) -> tuple[Tensor, Tensor]:
    """A batch of noise images with random labels."""
    return torch.randn(n, channels, size, size), torch.randint(0, classes, (n,))


def rows(n: int = 64, d: int = 20, classes: int = 5) -> tuple[Tensor, Tensor]:
    """A batch of normal rows with random labels."""
    return torch.randn(n, d), torch.randint(0, classes, (n,))


def mlp_of(widths: list[int], act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers with a nonlinearity between them."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


@model
def mlp() -> Made:
    return mlp_of([20, 64, 64, 5]), rows(), {}


@model
def mlp_tanh_of_16() -> Made:
    return mlp_of([20, 64, 64, 5], nn.Tanh), rows(16), {}


@model
def cnn_batch_norm() -> Made:
    parts = [
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    ]  # fmt: skip
    return nn.Sequential(*parts), images(), {}


@model
def depthwise() -> Made:
    parts = [
        nn.Conv2d(3, 24, 1), nn.BatchNorm2d(24), nn.ReLU6(),
        nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.BatchNorm2d(24), nn.ReLU6(),
        nn.Conv2d(24, 16, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    ]  # fmt: skip
    return nn.Sequential(*parts), images(), {}


class Residual(nn.Module):
    """A stem, two residual blocks, and a head."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 16, 3, padding=1, bias=False), norm(16), nn.ReLU(),
                nn.Conv2d(16, 16, 3, padding=1, bias=False), norm(16),
            ) for _ in range(2)
        )  # fmt: skip
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = F.relu(x + block(x))
        return self.head(x.mean((2, 3)))


@model
def residual() -> Made:
    return Residual(nn.BatchNorm2d), images(), {}


@model
def group_norm() -> Made:
    return Residual(lambda n: nn.GroupNorm(4, n)), images(), {}


class Language(nn.Module):
    """Embedding, encoder layers, and a head that may share the embedding's weight."""

    def __init__(self, bias: bool, is_tied: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        nn.init.normal_(self.embed.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, bias=bias, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 50, bias=bias)
        if is_tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens))).transpose(1, 2)


def tokens() -> tuple[Tensor, Tensor]:
    """Random tokens and random next ones."""
    return torch.randint(0, 50, (16, 12)), torch.randint(0, 50, (16, 12))


@model
def transformer() -> Made:
    return Language(bias=True), tokens(), {}


@model
def transformer_without_bias() -> Made:
    return Language(bias=False), tokens(), {}


@model
def tied_embedding() -> Made:
    return Language(bias=True, is_tied=True), tokens(), {}


class Recurrent(nn.Module):
    """An LSTM and a head on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


@model
def lstm() -> Made:
    return Recurrent(), (torch.randn(32, 10, 8), torch.randint(0, 5, (32,))), {}


class Graph(nn.Module):
    """Two rounds of messages over a fixed random graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return self.second(adjacency @ F.relu(self.first(adjacency @ x)))


@model
def graph_network() -> Made:
    adjacency = (torch.rand(40, 40) < 0.1).float() + torch.eye(40)
    inputs = torch.randn(40, 8), adjacency / adjacency.sum(1, keepdim=True)
    return Graph(), (inputs, torch.randint(0, 5, (40,))), {}


@model
def frozen_parts() -> Made:
    net = mlp_of([20, 64, 64, 5])
    net[0].requires_grad_(False)
    return net, rows(), {}


@model
def sparse_gradients() -> Made:
    net = nn.Sequential(nn.Embedding(100, 16, sparse=True), nn.Flatten(), nn.Linear(16 * 6, 5))
    return net, (torch.randint(0, 100, (32, 6)), torch.randint(0, 5, (32,))), {}


@model
def float64() -> Made:
    inputs, targets = rows()
    return mlp_of([20, 64, 5]).double(), (inputs.double(), targets), {}


@model
def bfloat16() -> Made:
    inputs, targets = rows()
    return mlp_of([20, 64, 5]).bfloat16(), (inputs.bfloat16(), targets), {}


@model
def correlated_samples() -> Made:
    inputs = torch.randn(4, 20).repeat_interleave(16, 0) + 0.1 * torch.randn(64, 20)
    return mlp_of([20, 64, 64, 5]), (inputs, torch.randint(0, 5, (4,)).repeat_interleave(16)), {}


@model
def batch_of_four() -> Made:
    return mlp_of([20, 64, 64, 3]), rows(4, classes=3), {}


@model
def heavy_tails() -> Made:
    inputs = torch.distributions.StudentT(2.5).sample((64, 20))
    targets = torch.distributions.StudentT(2.5).sample((64, 1))
    return mlp_of([20, 64, 64, 1]), (inputs, targets), {}


@model
def adam_with_batch_norm() -> Made:
    net, batch, _ = cnn_batch_norm()
    return net, batch, {"optimizer": lambda p: torch.optim.Adam(p, lr=1e-3)}
