"""What was measured: tensors, layers, models and runs, as plain data."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated, Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records.display import Displayed
from pytest_initcheck.records.scenes import Confusion, Landscape, Scatter
from pytest_initcheck.serialization import Limits, No, Use

Curve = tuple[float, ...]
Finite = Annotated[float, Limits("a finite number", math.isfinite)]
Share = Annotated[float, Limits("a share from 0 to 1", lambda share: 0 <= share <= 1)]
Count = Annotated[int, Limits("a count", lambda count: 0 <= count <= 1 << 62)]


@dataclass(frozen=True)
class Histogram:
    """Counts in equal-width bins over ``[low, high]``; only finite values are counted."""

    low: Annotated[Finite, Use(compared="distance")]
    high: Annotated[Finite, Use(compared="distance")]
    counts: Annotated[tuple[Count, ...], Use(compared="distance")]

    @property
    def sampled(self) -> int:
        """How many values are counted."""
        return sum(self.counts)

    @property
    def edges(self) -> tuple[float, ...]:
        """The ``len(counts) + 1`` bin edges."""
        width = (self.high - self.low) / max(len(self.counts), 1)
        return tuple(self.low + i * width for i in range(len(self.counts) + 1))

    def merged(self, other: Histogram) -> Histogram:
        """Both histograms on one range; each old bin goes to the new bin of its centre."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        bins = len(self.counts)
        counts = [0] * bins
        for histogram in (self, other):
            edges = histogram.edges
            for i, count in enumerate(histogram.counts):
                centre = (edges[i] + edges[i + 1]) / 2
                place = (centre - low) / (high - low) * bins if high > low else 0
                counts[min(int(place), bins - 1)] += count
        return Histogram(low, high, tuple(counts))


_DETERMINES = No("it says whether what follows is a matter of chance")


@dataclass(frozen=True, kw_only=True)
class TensorStats:
    """Summary of one tensor. Moments, range and histogram are of its finite values.

    ``mean``, ``std`` (population), ``min`` and ``max`` are None where no value is finite;
    ``zero_share`` is the share of exact zeros in [0, 1]; ``nonfinite`` counts NaN and inf.
    ``digest`` is equal for tensors that are equal bit for bit, and only for them; it is empty
    where nobody asked for it. ``independent``, of data, is how many independent values the mean
    and the variance amount to, as the samples differ in both.
    """

    n: Annotated[
        Count, Use(compared=No("it is the shape times the seeds"), shown=No("the shape says it"))
    ]
    mean: Annotated[Finite | None, Use(compared="mean")]
    std: Annotated[Finite | None, Use(compared="std")]
    min: Annotated[Finite | None, Use(compared="extreme")]
    max: Annotated[Finite | None, Use(compared="extreme")]
    zero_share: Annotated[Share, Use(compared="zeros", brief="z")] = 0.0
    nonfinite: Annotated[Count, Use(compared="nonfinite")] = 0
    histogram: Annotated[Histogram | None, Use(compared="histogram")] = None
    dtype: Annotated[str, Use(compared="equal")] = ""
    shape: Annotated[tuple[Count, ...], Use(compared="equal", brief="s")] = ()
    digest: Annotated[str, Use(compared=_DETERMINES, shown=_DETERMINES, brief="d", sparse=True)] = (
        ""
    )
    independent: Annotated[
        tuple[Finite, ...], Use(compared=_DETERMINES, shown=_DETERMINES, brief="i", sparse=True)
    ] = ()

    @property
    def rms(self) -> float | None:
        """Root mean square, from mean and std."""
        if self.mean is None or self.std is None:
            return None
        return math.hypot(self.mean, self.std)

    def merged(self, other: TensorStats) -> TensorStats:
        """The summary of both tensors' values together."""
        mine, theirs = self.n - self.nonfinite, other.n - other.nonfinite
        if theirs <= 0 or other.mean is None or other.std is None:
            return self._counting(other)
        if mine <= 0 or self.mean is None or self.std is None:
            return other._counting(self)
        total = mine + theirs
        mean = (self.mean * mine + other.mean * theirs) / total
        square = (self.std**2 + (self.mean - mean) ** 2) * mine
        square += (other.std**2 + (other.mean - mean) ** 2) * theirs
        both = self.histogram and other.histogram
        return dataclasses.replace(
            self._counting(other),
            mean=mean,
            std=math.sqrt(square / total),
            min=_least(min, self.min, other.min),
            max=_least(max, self.max, other.max),
            histogram=self.histogram.merged(other.histogram)  # type: ignore[union-attr,arg-type]
            if both
            else self.histogram or other.histogram,
        )

    def _counting(self, other: TensorStats) -> TensorStats:
        n = self.n + other.n
        zeros = self.zero_share * self.n + other.zero_share * other.n
        return dataclasses.replace(
            self,
            n=n,
            nonfinite=self.nonfinite + other.nonfinite,
            zero_share=zeros / n if n else 0.0,
            digest="",
            independent=(),
        )


def _least(pick: Any, a: float | None, b: float | None) -> float | None:
    known = [x for x in (a, b) if x is not None]
    return pick(known) if known else None


_BY_CHANCE = No("which units they are is chance; only how many can be compared")
_WHICH = Use(kept=_BY_CHANCE, compared=_BY_CHANCE, shown=No("findings name them"))


@dataclass(frozen=True, kw_only=True)
class UnitStats:
    """How many units (features or channels) of an activation are dead or saturated.

    A unit is dead when the slope of its activation is zero on every sample, saturated when the
    slope stays below a small part of the steepest slope of that activation on most samples.
    ``dead`` and ``saturated`` list the indices, at most 64 of each.
    """

    count: Annotated[
        Count, Use(key="units", compared="equal", shown=No("the shares say what is wrong"))
    ]
    dead_share: Annotated[Share, Use(compared="share", shown="dead units", short="dead")] = 0.0
    saturated_share: Annotated[
        Share, Use(compared="share", shown="saturated units", short="saturated")
    ] = 0.0
    dead: Annotated[tuple[int, ...], _WHICH] = ()
    saturated: Annotated[tuple[int, ...], _WHICH] = ()


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """One layer (a module with parameters of its own) at one moment.

    ``weights`` and ``gradients`` are keyed by parameter name ("weight", "bias", …);
    ``activations`` is the layer's output after the nonlinearity that follows it (the plain output
    where none does) and ``nonlinearity`` names that function. ``update_ratio`` is how far each
    parameter has moved since the start, relative to its norm there: inf for one that started at
    zero and moved, 0 for one that stayed.
    """

    name: Annotated[str, Use(compared="pairs")]
    kind: Annotated[str, Use(compared="equal")]
    nonlinearity: Annotated[str | None, Use(compared="equal", brief="act")] = None
    weights: Annotated[dict[str, TensorStats], Use(compared="weights", brief="w")] = field(
        default_factory=dict
    )
    activations: Annotated[TensorStats | None, Use(compared="activations", brief="a")] = None
    gradients: Annotated[dict[str, TensorStats], Use(compared="gradients", brief="g")] = field(
        default_factory=dict
    )
    activation_gradients: Annotated[
        TensorStats | None,
        Use(compared="gradients", shown=No("run.json holds it for checks"), brief="ga"),
    ] = None
    units: Annotated[UnitStats | None, Use(compared="units", inline=True)] = None
    update_ratio: Annotated[
        dict[str, float],
        Use(compared="movement", shown="update ratio", short="update", brief="u", sparse=True),
    ] = field(default_factory=dict)


_BY_LAYERS = No("the outputs of the layers stand for it")


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """A residual stream: a chain of additions, each of a branch to what there was.

    ``name`` is the innermost module that holds it, ``writers`` the matrix that writes each branch
    last (several are joined by " + "), ``variance`` that of the stream before the first addition
    and after each; ``law`` is what its growth is nearest to, "constant", "linear" (1 + L for L
    additions) or "exponential" (2^L).
    """

    name: Annotated[str, Use(compared=_BY_LAYERS)]
    writers: Annotated[tuple[str, ...], Use(compared=_BY_LAYERS)] = ()
    variance: Annotated[Curve, Use(compared=_BY_LAYERS)] = ()
    law: Annotated[str, Use(compared=_BY_LAYERS)] = ""

    @property
    def growth(self) -> Curve:
        """The variance relative to what the stream held at first; empty where that is zero."""
        first = self.variance[0] if self.variance else 0.0
        return tuple(value / first for value in self.variance) if first else ()


_BY_OUTPUTS = No("the outputs of attention stand for it")


@dataclass(frozen=True, kw_only=True)
class HeadsRecord:
    """The heads of one attention, one value for each: ``entropy`` of its shares relative to that of
    equal ones (in [0, 1], mean over the queries that have a choice), ``passed`` 1 − Σp² relative to
    that of equal ones, ``largest`` the largest score before the softmax."""

    name: Annotated[str, Use(compared=_BY_OUTPUTS)]
    entropy: Annotated[Curve, Use(compared=_BY_OUTPUTS)] = ()
    passed: Annotated[Curve, Use(compared=_BY_OUTPUTS)] = ()
    largest: Annotated[Curve, Use(compared=_BY_OUTPUTS)] = ()


@dataclass(frozen=True, kw_only=True)
class ExpertsRecord:
    """To which experts a router sends the tokens of the batch: ``counts`` of tokens by expert,
    ``picked`` experts for each; ``dispersion`` is χ² of the counts against equal chances, over its
    degrees of freedom (about 1 where tokens are independent and experts equally likely)."""

    router: Annotated[str, Use(compared=_BY_OUTPUTS)]
    counts: Annotated[tuple[Count, ...], Use(compared=_BY_OUTPUTS)] = ()
    picked: Annotated[Count, Use(compared=_BY_OUTPUTS)] = 1
    dispersion: Annotated[Finite, Use(compared=_BY_OUTPUTS)] = 0.0


_SETTINGS = No("settings are no results; those of a run become notes")
_IN_COMPARISON = No("a comparison tells what differs")
_WITH_OPERATIONS = No("it is compared with the operations")


@dataclass(frozen=True, kw_only=True)
class ModelRecord(Displayed):
    """All layers of a model at one moment, in the order in which they first ran.

    ``digests`` identify all else that decides the numbers: the "batch", the "buffers", and where
    something was drawn the state of the random "streams". ``effective_samples`` is how many
    independent samples the batch amounts to. ``operations`` counts what the forward
    pass is made of, by operator and the numbers that someone wrote into the program; ``wiring`` is
    a digest of their order and of what reads from what. ``streams`` are the residual ones and
    ``experts`` the choices of routers, both at the start; ``heads`` those of attention.
    """

    layers: Annotated[tuple[LayerRecord, ...], Use(compared="layers")] = ()
    loss: Annotated[float | None, Use(compared="loss", shown="loss")] = None
    inputs: Annotated[TensorStats | None, Use(compared="samples", shown="inputs")] = None
    outputs: Annotated[TensorStats | None, Use(compared="outputs", shown="outputs")] = None
    targets: Annotated[TensorStats | None, Use(compared="samples", shown="targets")] = None
    moment: Annotated[str, Use(compared=No("it is a heading"))] = "start"
    meta: Annotated[dict[str, str], Use(compared=_SETTINGS, sparse=True)] = field(
        default_factory=dict
    )
    not_observed: Annotated[
        tuple[str, ...],
        Use(compared=No("what it hides is missing as a layer"), sparse=True),
    ] = ()
    digests: Annotated[
        dict[str, str], Use(compared=_DETERMINES, shown=_DETERMINES, sparse=True)
    ] = field(default_factory=dict)
    effective_samples: Annotated[
        float | None, Use(compared=_DETERMINES, shown=_DETERMINES, brief="samples")
    ] = None
    operations: Annotated[
        dict[str, Count],
        Use(compared="operations", shown=_IN_COMPARISON, brief="ops", sparse=True),
    ] = field(default_factory=dict)
    wiring: Annotated[str, Use(compared=_WITH_OPERATIONS, shown=_IN_COMPARISON, sparse=True)] = ""
    streams: Annotated[tuple[StreamRecord, ...], Use(kept=_BY_LAYERS, compared=_BY_LAYERS)] = ()
    heads: Annotated[tuple[HeadsRecord, ...], Use(kept=_BY_OUTPUTS, compared=_BY_OUTPUTS)] = ()
    experts: Annotated[tuple[ExpertsRecord, ...], Use(kept=_BY_OUTPUTS, compared=_BY_OUTPUTS)] = ()

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4g}"
        return f"ModelRecord({self.moment}, {len(self.layers)} layers{loss})"

    def layer(self, name: str) -> LayerRecord:
        """The layer of that name.

        Raises:
            InitcheckError: no layer has that name; the message lists those there are.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(repr(layer.name) for layer in self.layers) or "none"
        raise InitcheckError(f"no layer is called {name!r}; the record has {known}")


_AS_BANDS = No("the bands of Stored stand for them")
_REDUCED = Use(kept=_AS_BANDS, compared=_AS_BANDS)
_NO_RESULT = No("they explain a result and are none")
_FOR_SHOW = Use(kept=_NO_RESULT, compared=_NO_RESULT)


@dataclass(frozen=True, kw_only=True)
class RunRecord(Displayed):
    """One training per seed, or anything else that has curves, metrics and models.

    ``curves`` maps a metric to one curve per seed (a value per epoch or step); ``metrics`` maps a
    metric to one value per seed; ``before`` and ``after`` pool the models of all seeds, the former
    also those that a `Sequential` did not train. ``shown`` are curves that a report shows and no
    baseline keeps; ``engine`` says how the seeds were trained, where not plainly, and why.
    ``levels`` are values that a curve is read against, by curve and name: the loss of chance, the
    accuracy to reach. ``ledger`` tells of each parameter and buffer which calls wrote it, where the
    model was built under record; ``noticed`` of each planted fault the tests that noticed it.
    ``landscape``, ``confusion`` and ``scatters`` are drawn by a report, too.
    """

    seeds: Annotated[tuple[int, ...], Use(compared=_SETTINGS, shown="seeds")] = ()
    curves: Annotated[dict[str, tuple[Curve, ...]], _REDUCED] = field(default_factory=dict)
    metrics: Annotated[dict[str, tuple[float, ...]], Use(compared="metric")] = field(
        default_factory=dict
    )
    before: Annotated[ModelRecord | None, Use(compared="model")] = None
    after: Annotated[ModelRecord | None, Use(compared="model")] = None
    meta: Annotated[dict[str, str], Use(compared=_SETTINGS)] = field(default_factory=dict)
    shown: Annotated[dict[str, tuple[Curve, ...]], _FOR_SHOW] = field(default_factory=dict)
    engine: Annotated[str, Use(kept=_NO_RESULT, compared=_NO_RESULT, shown="engine")] = field(
        default="", compare=False
    )
    levels: Annotated[dict[str, dict[str, float]], _FOR_SHOW] = field(default_factory=dict)
    ledger: Annotated[dict[str, str], _FOR_SHOW] = field(default_factory=dict)
    noticed: Annotated[dict[str, tuple[str, ...]], _FOR_SHOW] = field(default_factory=dict)
    landscape: Annotated[Landscape | None, _FOR_SHOW] = None
    confusion: Annotated[Confusion | None, _FOR_SHOW] = None
    scatters: Annotated[tuple[Scatter, ...], _FOR_SHOW] = ()

    def __repr__(self) -> str:
        parts = [f"{len(self.seeds)} seeds"] if self.seeds else []
        named = (("curves", self.curves), ("metrics", self.metrics))
        parts += [f"{kind} {', '.join(held)}" for kind, held in named if held]
        return f"RunRecord({'; '.join(parts)})"

    def setting(self, key: str) -> str:
        """What the settings of the run, or of its models, say under a key; "" for nothing."""
        metas = [self.meta] + [model.meta for model in (self.before, self.after) if model]
        return next((meta[key] for meta in metas if key in meta), "")
