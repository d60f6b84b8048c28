"""The layers of one entry: a row of numbers and the histograms of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_initcheck.records import (
    SEVERITIES,
    Finding,
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
)
from pytest_initcheck.report.quantities import columns, named, number
from pytest_initcheck.report.quantities import text as value_text

MOST_CHARTS = 3000
MOST_OPEN = 12
ROLES = ("weights", "activations", "gradients")
SERIES = ("before", "after", "base-before", "base-after")


@dataclass
class Budget:
    """How many histograms the page may still take, so that it opens at once."""

    left: int = MOST_CHARTS


@dataclass(frozen=True)
class HistogramView:
    """One tensor of one layer: its histograms before, after and in the baseline."""

    role: str
    tensor: str
    layer: str
    stats: tuple[tuple[str, TensorStats], ...]

    @property
    def series(self) -> tuple[tuple[str, Histogram], ...]:
        """The histograms that can be drawn, by series."""
        return tuple((name, s.histogram) for name, s in self.stats if s.histogram is not None)

    @property
    def caption(self) -> str:
        """What the tensor is, in two words."""
        if self.role == "activations":
            return "activations"
        return self.tensor if self.role == "weights" else f"gradient of {self.tensor}"

    @property
    def spread(self) -> str:
        """Its std now, before and after, and what is not finite."""
        now = [s for name, s in self.stats if name in ("before", "after")]
        text = "std " + " → ".join(number(s.std) for s in now)
        lost = sum(s.nonfinite for s in now)
        return text + (f", {lost} not finite" if lost else "")


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """One layer as the table shows it."""

    name: str
    kind: str
    nonlinearity: str
    severity: str
    marks: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    histograms: tuple[HistogramView, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LayersView:
    """All layers of an entry."""

    layers: tuple[LayerView, ...]
    columns: tuple[str, ...]
    moments: tuple[str, ...]
    series: tuple[str, ...]
    drawn: int
    open: bool
    facts: tuple[tuple[str, str], ...]
    not_observed: tuple[str, ...]


@dataclass
class _Moments:
    """The same layer in the records that are overlaid."""

    now: dict[str, LayerRecord] = field(default_factory=dict)

    @property
    def any(self) -> LayerRecord:
        return next(iter(self.now.values()))


def layers_view(
    record: RunRecord,
    expected: RunRecord | None,
    findings: Iterable[Finding],
    budget: Budget,
) -> LayersView | None:
    """The layers of the entry's models; None where it recorded no model."""
    models = _models(record, expected)
    if "before" not in models and "after" not in models:
        return None
    marks = _marks(findings)
    layers = _aligned(models)
    drawn = _chosen(layers, marks, budget)
    views = tuple(
        _layer(name, moments, marks.get(name, {}), name in drawn)
        for name, moments in layers.items()
    )
    return LayersView(
        layers=views,
        columns=tuple(column.title for column in columns()),
        moments=tuple(m.moment for m in (record.before, record.after) if m is not None),
        series=tuple(name for name in SERIES if name in models),
        drawn=len(drawn),
        open=len(views) <= MOST_OPEN,
        facts=_model_facts(record),
        not_observed=_not_observed(record),
    )


def _models(record: RunRecord, expected: RunRecord | None) -> dict[str, ModelRecord]:
    found = {
        "before": record.before,
        "after": record.after,
        "base-before": expected.before if expected else None,
        "base-after": expected.after if expected else None,
    }
    return {name: model for name, model in found.items() if model is not None}


def _aligned(models: Mapping[str, ModelRecord]) -> dict[str, _Moments]:
    layers: dict[str, _Moments] = {}
    for series in SERIES:
        for layer in models[series].layers if series in models else ():
            if series in ("before", "after") or layer.name in layers:
                layers.setdefault(layer.name, _Moments()).now[series] = layer
    return layers


def _marks(findings: Iterable[Finding]) -> dict[str, dict[str, str]]:
    marks: dict[str, dict[str, str]] = {}
    for finding in findings:
        for name in dict.fromkeys((finding.layer, *finding.layers)):
            marks.setdefault(name, {}).setdefault(finding.id, finding.severity)
    return marks


def _chosen(
    layers: Mapping[str, _Moments], marks: Mapping[str, object], budget: Budget
) -> set[str]:
    # Layers with findings first: they are what the reader came for.
    chosen = set()
    for name in sorted(layers, key=lambda name: name not in marks):
        need = len(_histograms(name, layers[name]))
        if need > budget.left:
            break
        budget.left -= need
        chosen.add(name)
    return chosen


def _layer(name: str, moments: _Moments, marks: Mapping[str, str], drawn: bool) -> LayerView:
    layer = moments.any
    severities = set(marks.values())
    return LayerView(
        name=name or "(model)",
        kind=layer.kind,
        nonlinearity=layer.nonlinearity or "",
        severity=next((s for s in SEVERITIES if s in severities), ""),
        marks=tuple(marks),
        cells=_cells(moments),
        histograms=_histograms(name, moments) if drawn else (),
    )


def _cells(moments: _Moments) -> tuple[tuple[str, ...], ...]:
    layers = [moments.now[name] for name in ("before", "after") if name in moments.now]
    return tuple(_unique(tuple(column.cell(layer) for layer in layers)) for column in columns())


def _unique(cells: tuple[str, ...]) -> tuple[str, ...]:
    # An update ratio is known only after training: one number then, and no arrow.
    known = tuple(cell for cell in cells if cell != "-") or ("-",)
    return known[:1] if len(set(known)) == 1 else known


def _histograms(name: str, moments: _Moments) -> tuple[HistogramView, ...]:
    found: dict[tuple[str, str], list[tuple[str, TensorStats]]] = {}
    for series in SERIES:
        if series in moments.now:
            for key, stats in _tensors(moments.now[series]).items():
                if series in ("before", "after") or key in found:
                    found.setdefault(key, []).append((series, stats))
    keys = sorted(found, key=lambda key: ROLES.index(key[0]))
    return tuple(
        HistogramView(role, tensor, name, tuple(found[role, tensor])) for role, tensor in keys
    )


def _tensors(layer: LayerRecord) -> dict[tuple[str, str], TensorStats]:
    tensors = {("weights", key): stats for key, stats in _main(layer.weights).items()}
    if layer.activations is not None:
        tensors["activations", "output"] = layer.activations
    tensors |= {("gradients", key): stats for key, stats in _main(layer.gradients).items()}
    return tensors


def _main(tensors: Mapping[str, TensorStats]) -> dict[str, TensorStats]:
    # A bias gets no chart of its own beside a weight: its numbers are in run.json.
    kept = {key: stats for key, stats in tensors.items() if "bias" not in key}
    return kept or dict(tensors)


def _model_facts(record: RunRecord) -> tuple[tuple[str, str], ...]:
    models = [model for model in (record.before, record.after) if model is not None]
    facts = []
    for name, title, _ in named(ModelRecord):
        values = [(model.moment, getattr(model, name)) for model in models]
        if isinstance(values[0][1], TensorStats):
            facts.append((title, describe_layer(values[0][1])))
            continue
        facts += [
            (f"{title}, {moment}", value_text(ModelRecord, name, value))
            for moment, value in values
            if value is not None and not isinstance(value, TensorStats)
        ]
    return tuple(facts)


def describe_layer(stats: TensorStats) -> str:
    """The tensor in words: shape, mean, std, range and what is not finite."""
    shape = " × ".join(map(str, stats.shape)) or str(stats.n)
    text = f"{shape} {stats.dtype}".strip()
    if stats.mean is not None and stats.std is not None:
        text += f", mean {number(stats.mean)}, std {number(stats.std)}"
    if stats.min is not None and stats.max is not None:
        text += f", {number(stats.min)} to {number(stats.max)}"
    if stats.zero_share > 0 and math.isfinite(stats.zero_share):
        text += f", {stats.zero_share:.1%} zero"
    if stats.nonfinite:
        text += f", {stats.nonfinite} not finite"
    for name, title, _ in named(TensorStats):
        text += f", {title} {value_text(TensorStats, name, getattr(stats, name))}"
    return text


def _not_observed(record: RunRecord) -> tuple[str, ...]:
    models = [model for model in (record.before, record.after) if model is not None]
    return tuple(dict.fromkeys(name for model in models for name in model.not_observed))
