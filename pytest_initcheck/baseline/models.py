"""Compares the layers of two models, tensor by tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.judge import Check, Fixed, near, same, within
from pytest_initcheck.baseline.samples import Sizes, seeds, sizes
from pytest_initcheck.baseline.tensors import TensorPair
from pytest_initcheck.baseline.tolerance import NUMERIC
from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats, UnitStats

_NOISE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two looks at one model; ``trained`` where optimisation has tied the weights together."""

    moment: str
    actual: ModelRecord
    expected: ModelRecord
    fixed: Fixed | None = None
    trained: bool = False

    def checks(self) -> Iterator[Check]:
        """Everything that can be compared."""
        mine, theirs = ({a.name: a for a in m.layers} for m in (self.actual, self.expected))
        for name in _all_names(mine, theirs):
            a, e = mine.get(name), theirs.get(name)
            if a is None or e is None:
                yield same(self.key("", name), a and a.kind, e and e.kind)
            else:
                yield from Layer(self, a, e).checks()
        yield from self._sides()
        yield from self._loss()

    def key(self, what: str, layer: str | None = None) -> str:
        """How a difference is called: "before layer 'fc1' weights.weight"."""
        place = "" if layer is None else f" layer {layer!r}" if layer else " model"
        return f"{self.moment}{place}{what and ' '}{what}"

    def _sides(self) -> Iterator[Check]:
        sizes_of = {
            "inputs": [s.samples for s in self.sizes],
            "outputs": [s.outputs for s in self.sizes],
            "targets": [s.samples for s in self.sizes],
        }
        for name, (n_a, n_e) in sizes_of.items():
            a, e = getattr(self.actual, name), getattr(self.expected, name)
            yield from TensorPair(
                key=self.key(name),
                actual=a,
                expected=e,
                n_actual=n_a,
                n_expected=n_e,
                fixed=self.fixed,
            ).checks()

    def _loss(self) -> Iterator[Check]:
        a, e = self.actual.loss, self.expected.loss
        if a is None and e is None:
            return
        key = self.key("loss")
        if a is None or e is None or not (math.isfinite(a) and math.isfinite(e)):
            yield same(key, a if a is None else str(a), e if e is None else str(e))
            return
        yield near(key, a, e, lambda alpha: self.loss_allowed(alpha, a, e))

    @cached_property
    def sizes(self) -> tuple[Sizes, Sizes]:
        """The numbers of independent values of both."""
        is_drawn = self.trained or _weights(self.actual) != _weights(self.expected)
        return sizes(self.actual, is_drawn), sizes(self.expected, is_drawn)

    @cached_property
    def noise(self) -> float:
        """Below this, a gradient that is zero on paper (a bias before a batch norm) may lie."""
        layers = self.actual.layers + self.expected.layers
        gradients = itertools.chain.from_iterable(layer.gradients.values() for layer in layers)
        return _NOISE * max((g.rms or 0.0 for g in gradients), default=0.0)

    def loss_allowed(self, alpha: float, a: float, e: float) -> float:
        """Allowed distance of two values of the loss; see `_loss_variance`.

        The variance is a bound and not an estimate, so the normal critical value is taken, with
        half as much again for what the bound leaves out.
        """
        if self.fixed:
            return self.fixed.around(e)
        both = zip((self.actual, self.expected), (a, e), self.sizes, strict=True)
        error = math.sqrt(math.fsum(_loss_variance(*one) for one in both))
        return _loss_reach(alpha) * error + NUMERIC * abs(e)

    def curve_allowed(
        self, alpha: float, first: tuple[float, float], now: tuple[float, float]
    ) -> float:
        """Allowed distance of two single loss curves, ``first`` and ``now`` (actual, expected).

        What the steps took off the loss goes with the squared gradient, which varies as a mean of
        squares over the independent values of gradients does.
        """
        allowed = self.loss_allowed(alpha, *first)
        n = min(size.gradients for size in self.sizes)
        drop = max(abs(value - start) for value, start in zip(now, first, strict=True))
        return allowed + _loss_reach(alpha) * math.sqrt(2 / n) * drop


def _weights(model: ModelRecord) -> dict[str, dict[str, TensorStats]]:
    return {layer.name: layer.weights for layer in model.layers}


def _loss_reach(alpha: float) -> float:
    return 1.5 * tolerance.reach(alpha, math.inf)


def _loss_variance(model: ModelRecord, loss: float, size: Sizes) -> float:
    """The variance of a loss over fresh weights and data.

    Cross-entropy of logits with deviation s is log-sum-exp minus the label's logit. The second
    varies by s²/B over random labels; the first lies s²/2 (for large s: about 2s) above the mean,
    which varies as s² does over n values, by a share √(2/n). A mean square of residuals r moves by
    2|r| times what the outputs move, and by a share √(2/B) over fresh targets. Of any other loss
    only the latter is known.
    """
    outputs = model.outputs
    spread = (outputs.std or 0.0) if outputs else 0.0
    pooled = seeds(outputs) if outputs else 1.0
    if model.targets is not None and "int" in model.targets.dtype:
        lift = min(spread**2 / 2, 2 * spread)
        return (2 * spread**2 / size.samples + 2 * lift**2 / size.outputs) / pooled
    moved = 4 * abs(loss) * spread**2 / size.outputs
    return (moved + 2 * loss**2 / (size.samples if outputs else size.outputs)) / pooled


@dataclass(frozen=True)
class Layer:
    """One layer that both models have."""

    pair: Pair
    actual: LayerRecord
    expected: LayerRecord

    def checks(self) -> Iterator[Check]:
        """Kind, nonlinearity, units and every tensor."""
        a, e = self.actual, self.expected
        yield same(self._key("kind"), a.kind, e.kind)
        yield same(self._key("nonlinearity"), a.nonlinearity, e.nonlinearity)
        yield from self._units()
        yield from self._weights()
        yield from self._signals()
        for name in _all_names(a.update_ratio, e.update_ratio):
            if self._is_noise(a.gradients.get(name), e.gradients.get(name)):
                continue
            ratios = a.update_ratio.get(name), e.update_ratio.get(name)
            yield self._ratio(self._key("update_ratio", name), *ratios)

    def _key(self, role: str, name: str = "") -> str:
        return self.pair.key(f"{role}.{name}" if name else role, self.actual.name)

    def _numbers(self, which: str) -> tuple[float, float]:
        mine, theirs = self.pair.sizes
        if which == "activations" and not self.pair.trained:
            return mine.activations(self.actual.name), theirs.activations(self.actual.name)
        return mine.gradients, theirs.gradients

    def _weights(self) -> Iterator[Check]:
        a, e = self.actual.weights, self.expected.weights
        mine, theirs = self._numbers("weights") if self.pair.trained else (math.inf, math.inf)
        for name in _all_names(a, e):
            yield from TensorPair(
                key=self._key("weights", name),
                actual=a.get(name),
                expected=e.get(name),
                n_actual=mine,
                n_expected=theirs,
                fixed=self.pair.fixed,
            ).checks()

    def _signals(self) -> Iterator[Check]:
        a, e = self.actual, self.expected
        vanishing = max(size.vanishing for size in self.pair.sizes)
        tensors: list[tuple[str, TensorStats | None, TensorStats | None, str]] = [
            (self._key("activations"), a.activations, e.activations, "activations"),
            (
                self._key("activation_gradients"),
                a.activation_gradients,
                e.activation_gradients,
                "gradients",
            ),
        ]
        for name in _all_names(a.gradients, e.gradients):
            key = self._key("gradients", name)
            tensors.append((key, a.gradients.get(name), e.gradients.get(name), "gradients"))
        for key, mine, theirs, which in tensors:
            n_mine, n_theirs = self._numbers(which)
            yield from TensorPair(
                key=key,
                actual=mine,
                expected=theirs,
                n_actual=n_mine,
                n_expected=n_theirs,
                fixed=self.pair.fixed,
                noise=self.pair.noise if which == "gradients" else 0.0,
                vanishing=vanishing,
            ).checks()

    def _is_noise(self, *gradients: TensorStats | None) -> bool:
        return all(g and g.rms is not None and g.rms <= self.pair.noise for g in gradients)

    def _units(self) -> Iterator[Check]:
        a, e = self.actual.units, self.expected.units
        if a is None or e is None:
            if a is not e:
                yield same(self._key("units"), a and a.count, e and e.count)
            return
        yield same(self._key("units"), a.count, e.count)
        for which in ("dead_share", "saturated_share"):
            yield self._share(which, a, e)

    def _share(self, which: str, a: UnitStats, e: UnitStats) -> Check:
        mine, theirs = getattr(a, which), getattr(e, which)
        if self.pair.fixed:
            allowed = self.pair.fixed.around(1.0)
            return near(self._key(which), mine, theirs, lambda _: allowed)
        n_a, n_e = (max(n, 1.0) for n in self._numbers("activations"))
        return near(
            self._key(which),
            mine,
            theirs,
            lambda alpha: tolerance.shares(alpha, mine, n_a, theirs, n_e),
        )

    def _ratio(self, key: str, a: float | None, e: float | None) -> Check:
        if a is None or e is None or not (math.isfinite(a) and math.isfinite(e)):
            return same(key, a if a is None else str(a), e if e is None else str(e))
        fixed = self.pair.fixed
        if fixed:
            return near(key, a, e, lambda _: fixed.around(e))
        n_a, n_e = self._numbers("gradients")
        return within(key, a, e, lambda alpha: tolerance.deviations(alpha, e, n_a - 1, n_e - 1))


def _all_names(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*b, *a]))
