"""How many independent values stand behind the statistics of a tensor.

The entries of a fresh weight are drawn one by one: n is their number. Activations and gradients
are not: all samples pass through the same weights and all units see the same samples. A layer's
activations hold U independent weight rows and B independent samples, so that the variance of their
mean is about s²(1/U + 1/B), not s²/(U·B); and the scale of the signal that reaches a layer carries
the chance of every layer before it, up to the last normalisation. So

    1/n = 1/B + sum of 1/U_k over the layers k up to this one        (activations)
    1/n = 1/B + sum of 1/U_k over all layers                         (gradients, trained weights)

which is the law of total variance with every covariance at its bound. Where both records start
from equal weights (a seeded or pretrained model) the units are not chance any more, only what goes
through them is: n = B, for gradients 1/n = 1/B + 1/U of the outputs, which all of them are made
of. B counts the samples that are independent (`ModelRecord.effective_samples`). Pooling S
seeds multiplies n by S. The rule errs towards "too few": it may
miss a small change, it must not invent one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pytest_initcheck.baseline.judge import RTOL, Fixed
from pytest_initcheck.baseline.tolerance import epsilon
from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats

_CHANNEL_SECOND = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm")
_NORMALISES = ("Norm",)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Independent values per seed: of each layer's activations, of the outputs, of gradients."""

    layers: dict[str, float]
    outputs: float
    gradients: float
    samples: float
    vanishing: float

    def activations(self, layer: str) -> float:
        """The number for one layer."""
        return self.layers.get(layer, self.outputs)


def weights_equal(a: ModelRecord, b: ModelRecord) -> bool:
    """Whether all weights are known to be equal: bit for bit, or by moments in older records."""
    mine, theirs = ({layer.name: layer.weights for layer in m.layers} for m in (a, b))
    if mine == theirs:
        return True
    known = [_marks(weights) for weights in (mine, theirs)]
    if all(known) and all(text for side in known for text in side.values()):
        return known[0] == known[1]
    return _bare(mine) == _bare(theirs)


def _bare(weights: dict[str, dict[str, TensorStats]]) -> dict[str, dict[str, TensorStats]]:
    return {
        layer: {key: replace(stats, digest="") for key, stats in own.items()}
        for layer, own in weights.items()
    }


def is_determined(a: ModelRecord, b: ModelRecord) -> bool:
    """Whether all that decides the numbers of two looks is equal, bit for bit.

    These are the weights, the buffers, the batch, and what is drawn on the way.
    """
    mine, theirs = marks(a), marks(b)
    return "batch" in a.digests and mine == theirs and all(mine.values())


def marks(model: ModelRecord) -> dict[str, str]:
    """The digests of all weights, by layer and parameter, and of what else a look starts from."""
    return model.digests | _marks({layer.name: layer.weights for layer in model.layers})


def rounding(model: ModelRecord) -> Fixed:
    """What rounding may do to numbers that are determined, on the scale of each tensor.

    1e-4 is fifty times what another number of threads was seen to change in single precision;
    half precision has four of its units.
    """
    dtypes = {t.dtype for layer in model.layers for t in layer.weights.values()}
    unit = max(map(epsilon, dtypes), default=0.0)
    return Fixed(max(RTOL, 4 * unit), 0.0, is_rounding=True)


def _marks(weights: dict[str, dict[str, TensorStats]]) -> dict[str, str]:
    return {f"{layer} {k}": t.digest for layer, own in weights.items() for k, t in own.items()}


def sizes(model: ModelRecord, is_drawn: bool = True) -> Sizes:
    """The numbers of independent values in one look at a model.

    ``is_drawn`` is False where the weights are known to be no matter of chance.

    ``vanishing`` bounds the probability that chance alone switches the whole signal off: all units
    of the narrowest layer with exact zeros, each with 1/2.
    """
    samples = _batch(model)
    if model.effective_samples is not None:
        samples = max(min(samples, model.effective_samples), 1.0)
    layers: dict[str, float] = {}
    inverse = total = 1 / samples
    for layer in model.layers:
        width = units(layer)
        if any(kind in layer.kind for kind in _NORMALISES):
            inverse = 1 / samples
        share = 1 / width if is_drawn and _has_drawn(layer) else 0.0
        layers[layer.name] = 1 / (inverse + (1 / width if is_drawn else 0.0))
        inverse += share
        total += share
    if not is_drawn:
        # All units receive what few outputs hand back.
        total += 1 / _outputs(model)
    return Sizes(
        layers=layers,
        outputs=1 / inverse,
        gradients=1 / total,
        samples=samples,
        vanishing=0.5 ** _narrowest(model.layers),
    )


def units(layer: LayerRecord) -> int:
    """Features or channels of a layer's output; 1 where the record does not tell."""
    if layer.units is not None and layer.units.count:
        return layer.units.count
    shape = layer.activations.shape if layer.activations else ()
    if len(shape) > 2 and layer.kind.startswith(_CHANNEL_SECOND):
        return max(shape[1], 1)
    if shape:
        return max(shape[-1], 1)
    return max((t.shape[0] for t in layer.weights.values() if t.shape), default=1) or 1


def seeds(stats: TensorStats) -> float:
    """How many tensors were pooled: values over the size of one."""
    return max(stats.n / max(math.prod(stats.shape), 1), 1.0)


def _batch(model: ModelRecord) -> float:
    sides = (model.inputs, model.outputs, *(layer.activations for layer in model.layers))
    return max(next((s.shape[0] for s in sides if s and s.shape), 1), 1)


def _outputs(model: ModelRecord) -> int:
    shape = model.outputs.shape if model.outputs else ()
    return max(shape[-1], 1) if len(shape) > 1 else 1


def _has_drawn(layer: LayerRecord) -> bool:
    return any(len(t.shape) > 1 and t.std for t in layer.weights.values())


def _narrowest(layers: Iterable[LayerRecord]) -> float:
    widths = (units(a) for a in layers if a.activations and a.activations.zero_share > 0)
    return min(widths, default=math.inf)
