"""``edge_of_chaos``: two inputs through random networks of one family, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.backends.mapping import mapped
from pytest_initcheck.capture.randomness import isolated, seed_all
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.meanfield.activations import Activation, activation_of
from pytest_initcheck.meanfield.result import EdgeOfChaos
from pytest_initcheck.meanfield.theory import MeanField

WIDTH, DEPTH, SEEDS = 256, 16, 16


def edge_of_chaos(
    activation: str | Activation,
    sigma_w: float,
    sigma_b: float = 0.0,
    *,
    width: int = WIDTH,
    depth: int = DEPTH,
    seeds: int | Iterable[int] = SEEDS,
    correlation: float = 0.5,
    network: Callable[[], nn.Module] | None = None,
    backend: str | None = None,
) -> EdgeOfChaos:
    """Measure how variance and correlation of two inputs go from layer to layer, beside theory.

    Args:
        activation: "tanh", "relu", "erf", or a function of a tensor, smooth but for a kink at 0.
        sigma_w: weights are drawn from N(0, sigma_w²/fan-in).
        sigma_b: biases are drawn from N(0, sigma_b²).
        width: units of every layer. Default 256.
        depth: linear layers. Default 16.
        seeds: how many (default 16, at least 2), or which.
        correlation: of the two inputs, in (-1, 1); their mean square is 1.
        network: builds the family's network instead: any model of linear layers one after the
            other, with ``activation`` between; their weights are drawn as above.
        backend: where the seeds are done, as in `pytest_initcheck.run`.

    Raises:
        InitcheckError: wrong use; the message says what to pass.
    """
    theory = MeanField(activation, sigma_w, sigma_b)
    family = _Family(theory, width, depth, _checked(correlation), network)
    chosen = _seeds(seeds)
    found = mapped(_one_seed, family, chosen, backend=backend)
    kernels = torch.stack(found.results)
    return EdgeOfChaos(
        theory=theory,
        seeds=chosen,
        kernels=kernels,
        expected=theory.kernel(kernels[:, :-1]),
        meta={
            "activation": activation if isinstance(activation, str) else activation.__name__,
            "sigma_w": f"{sigma_w:g}",
            "sigma_b": f"{sigma_b:g}",
            "width": str(width),
        },
    )


@dataclass(frozen=True)
class _Family:
    theory: MeanField
    width: int
    depth: int
    correlation: float
    network: Callable[[], nn.Module] | None

    def built(self) -> nn.Module:
        """A network, its weights drawn from the global stream, in double precision."""
        model = (self.network or self._own)().double()
        for layer in _linear(model):
            nn.init.normal_(layer.weight, std=self.theory.sigma_w / math.sqrt(layer.in_features))
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=self.theory.sigma_b)
        return model

    def _own(self) -> nn.Module:
        between = activation_of(self.theory.activation)
        parts: list[nn.Module] = []
        for _ in range(self.depth):
            parts += [nn.Linear(self.width, self.width), _Applied(between)]
        return nn.Sequential(*parts[:-1])


class _Applied(nn.Module):
    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        """The activation."""
        return self.function(values)


def _one_seed(family: _Family, seed: int, tick: object) -> Tensor:
    """The kernels of all linear layers, layers × 3."""
    with isolated(), torch.no_grad():
        seed_all(seed)
        model = family.built()
        layers = _linear(model)
        if len(layers) < 2:
            raise InitcheckError(f"network: it has {len(layers)} linear layers; pass two or more")
        pair = _pair(layers[0].in_features, family.correlation)
        with _inputs_of(layers) as seen:
            model(pair)
    theory = family.theory
    found = [_products(rows) for rows in seen]
    return theory.sigma_w**2 * torch.stack(found) + theory.sigma_b**2


def _linear(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


@contextmanager
def _inputs_of(layers: Sequence[nn.Linear]) -> Iterator[list[Tensor]]:
    """What reaches each of them inside, in the order in which they run."""
    seen: list[Tensor] = []

    def note(layer: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(given[0].clone())

    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _products(rows: Tensor) -> Tensor:
    first, second = rows
    return torch.stack([(first * first).mean(), (second * second).mean(), (first * second).mean()])


def _pair(size: int, correlation: float) -> Tensor:
    """Two inputs of mean square 1 with exactly that correlation: 2 × size, drawn."""
    axes = torch.linalg.qr(torch.randn(size, 2, dtype=torch.float64))[0].T * math.sqrt(size)
    other = correlation * axes[0] + math.sqrt(1 - correlation**2) * axes[1]
    return torch.stack([axes[0], other])


def _checked(correlation: Any) -> float:
    if not isinstance(correlation, (int, float)) or not -1 < correlation < 1:
        raise InitcheckError(f"correlation={correlation!r}: pass a number between -1 and 1")
    return float(correlation)


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if len(found) < 2 or len(set(found)) < len(found):
        raise InitcheckError(f"seeds={seeds!r}: pass at least two, each once")
    return found
