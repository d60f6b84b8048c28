"""Compares the layers of two models, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.judge import (
    ATOL,
    FieldRule,
    Fixed,
    ValueCheck,
    names,
    near,
    nothing,
    number_check,
    same,
    walk,
    within,
)
from pytest_initcheck.baseline.noise import gradient_noise, is_still
from pytest_initcheck.baseline.samples import Sizes, seeds, sizes, weights_equal
from pytest_initcheck.baseline.tensors import Chance, tensor
from pytest_initcheck.baseline.tolerance import NUMERIC
from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats, UnitStats


@dataclass(frozen=True, kw_only=True)
class ModelPair:
    """Two looks at one model; ``trained`` where optimisation has tied the weights together."""

    moment: str
    actual: ModelRecord
    expected: ModelRecord
    fixed: Fixed | None = None
    trained: bool = False

    def checks(self) -> Iterator[ValueCheck]:
        """Everything that can be compared."""
        special: dict[str, FieldRule] = {
            "layers": self._layers,
            "samples": partial(self._side, "samples"),
            "outputs": partial(self._side, "outputs"),
            "loss": self._loss,
            "operations": self._operations,
        }
        return walk((self.actual, self.expected), special, self.key, self.fixed)

    def _layers(
        self, _: str, actual: Sequence[LayerRecord], expected: Sequence[LayerRecord]
    ) -> Iterator[ValueCheck]:
        mine, theirs = ({layer.name: layer for layer in side} for side in (actual, expected))
        # Baselines do not keep the order in which layers ran.
        for name in names(theirs, mine):
            a, e = mine.get(name), theirs.get(name)
            if a is None or e is None:
                yield same(self.key("", name), a and a.kind, e and e.kind)
            else:
                for check in LayerPair(self, a, e).checks():
                    yield replace(check, subject=("layer", name))

    def key(self, what: str, layer: str | None = None) -> str:
        """How a difference is called: "before layer 'fc1' weights.weight"."""
        place = "" if layer is None else f" layer {layer!r}" if layer else " model"
        return f"{self.moment}{place}{what and ' '}{what}"

    def _side(
        self, which: str, label: str, a: TensorStats | None, e: TensorStats | None
    ) -> Iterator[ValueCheck]:
        mine, theirs = (getattr(size, which) for size in self.sizes)
        chance = Chance(numbers=(mine, theirs), fixed=self.fixed, is_data=which == "samples")
        return tensor(self.key(label), a, e, chance)

    def _operations(self, label: str, a: dict[str, int], e: dict[str, int]) -> Iterator[ValueCheck]:
        """What the forward pass is made of; nothing where a record is older than that."""
        if not (a and e):
            return
        found = [name for name in names(a, e) if a.get(name) != e.get(name)]
        for name in found:
            check = same(self.key(f"operation {name}"), a.get(name), e.get(name))
            yield replace(check, explains=self._is_determined)
        if not found:
            check = same(self.key("order of operations"), self.actual.wiring, self.expected.wiring)
            yield replace(check, explains=self._is_determined)

    @property
    def _is_determined(self) -> bool:
        return self.fixed is not None and self.fixed.is_rounding

    def _loss(self, label: str, a: float | None, e: float | None) -> Iterator[ValueCheck]:
        key = self.key(label)
        if a is None or e is None:
            if a is not e:
                yield same(key, a and str(a), e and str(e))
            return
        yield number_check(key, a, e, lambda a, e: self._loss_check(key, a, e))

    def _loss_check(self, key: str, a: float, e: float) -> ValueCheck:
        def allowed(alpha: float) -> float:
            return self.loss_allowed(alpha, a, e)

        return near(key, a, e, allowed, scale=abs(e), is_certain=self.fixed is not None)

    @cached_property
    def sizes(self) -> tuple[Sizes, Sizes]:
        """The numbers of independent values of both."""
        is_drawn = self.trained or not weights_equal(self.actual, self.expected)
        return sizes(self.actual, is_drawn), sizes(self.expected, is_drawn)

    @cached_property
    def noise(self) -> tuple[dict[str, float], dict[str, float]]:
        """By layer, below which size a gradient is rounding, in both."""
        return gradient_noise(self.actual), gradient_noise(self.expected)

    def loss_allowed(self, alpha: float, a: float, e: float) -> float:
        """Allowed distance of two values of the loss; see `_loss_variance`.

        The variance is a bound and not an estimate, so the normal critical value is taken, with
        half as much again for what the bound leaves out.
        """
        if self.fixed:
            return self.fixed.around(e) + (ATOL if self.fixed.is_rounding else 0.0)
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
class LayerPair:
    """One layer that both models have."""

    pair: ModelPair
    actual: LayerRecord
    expected: LayerRecord

    def checks(self) -> Iterator[ValueCheck]:
        """Kind, nonlinearity, units and every tensor."""
        special: dict[str, FieldRule] = {
            "pairs": nothing,
            "weights": partial(self._tensors, "weights"),
            "activations": partial(self._tensors, "activations"),
            "gradients": partial(self._tensors, "gradients"),
            "units": self._units,
            "share": self._share,
            "ratio": lambda label, a, e: [self._ratio(label, a, e)],
            "movement": self._movement,
        }
        return walk((self.actual, self.expected), special, self._key, self.pair.fixed)

    def _key(self, role: str) -> str:
        return self.pair.key(role, self.actual.name)

    def _numbers(self, which: str) -> tuple[float, float]:
        mine, theirs = self.pair.sizes
        if which == "gradients" or self.pair.trained:
            return mine.gradients, theirs.gradients
        if which == "weights":
            return math.inf, math.inf
        return mine.activations(self.actual.name), theirs.activations(self.actual.name)

    def _tensors(self, which: str, label: str, a: Any, e: Any) -> Iterator[ValueCheck]:
        """One tensor, or one by parameter."""
        if isinstance(a, dict):
            for name in names(a, e):
                yield from self._tensors(which, _of(label, name), a.get(name), e.get(name))
            return
        is_fresh = which == "weights" and not self.pair.trained
        chance = Chance(
            numbers=self._numbers(which),
            is_drawn=is_fresh,
            fixed=self.pair.fixed,
            noise=self._noise if which == "gradients" and label != "activation_gradients" else 0.0,
            vanishing=max(s.vanishing for s in self.pair.sizes) if which != "weights" else 0.0,
        )
        for check in tensor(self._key(label), a, e, chance):
            yield replace(check, group="weights") if is_fresh else check

    def _units(self, label: str, a: UnitStats | None, e: UnitStats | None) -> Iterator[ValueCheck]:
        if a is None or e is None:
            if a is not e:
                yield same(self._key(label), a and a.count, e and e.count)
            return
        yield from walk((a, e), {"share": self._share}, self._key, self.pair.fixed)

    def _share(self, label: str, a: float | None, e: float | None) -> Iterator[ValueCheck]:
        """A share of the units, which vary as samples do."""
        fixed, key = self.pair.fixed, self._key(label)
        n_a, n_e = (max(n, 1.0) for n in self._numbers("activations"))

        def check(a: float, e: float) -> ValueCheck:
            if fixed:
                allowed = fixed.of_share(self._count)
                return near(key, a, e, lambda _: allowed, scale=1.0, is_certain=True)
            return near(key, a, e, lambda alpha: tolerance.shares(alpha, a, n_a, e, n_e), scale=1.0)

        yield number_check(key, a, e, check)

    @property
    def _count(self) -> int:
        return self.expected.units.count if self.expected.units else 1

    def _movement(
        self, label: str, a: dict[str, float], e: dict[str, float]
    ) -> Iterator[ValueCheck]:
        for name in names(a, e):
            if not self._is_noise(name, a.get(name), e.get(name)):
                yield self._ratio(_of(label, name), a.get(name), e.get(name))

    @property
    def _noise(self) -> float:
        return max(noise.get(self.actual.name, 0.0) for noise in self.pair.noise)

    def _is_noise(self, name: str, *ratios: float | None) -> bool:
        """Whether the gradient is rounding, or the step too small for the parameter's dtype."""
        sides = (self.actual, self.expected)
        gradients = (side.gradients.get(name) for side in sides)
        if all(g and g.rms is not None and g.rms <= self._noise for g in gradients):
            return True
        pairs = zip(sides, ratios, strict=True)
        return all(is_still(side.weights.get(name), ratio) for side, ratio in pairs)

    def _ratio(self, label: str, a: float | None, e: float | None) -> ValueCheck:
        """A number that varies as a standard deviation does."""
        fixed, key = self.pair.fixed, self._key(label)
        n_a, n_e = self._numbers("gradients")

        def check(a: float, e: float) -> ValueCheck:
            if fixed:
                return near(key, a, e, lambda _: fixed.around(e), scale=abs(e), is_certain=True)
            return within(key, a, e, lambda alpha: tolerance.deviations(alpha, e, n_a - 1, n_e - 1))

        return number_check(key, a, e, check)


def _of(label: str, name: str) -> str:
    return f"{label}.{name}" if name else label
