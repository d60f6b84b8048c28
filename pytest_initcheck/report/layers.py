"""The layers of one entry as the page's script reads them: numbers, and the histograms of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_initcheck.records import (
    Entry,
    Finding,
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TensorStats,
)
from pytest_initcheck.report.findings_data import layer_words
from pytest_initcheck.report.pack import is_drawable, packed_counts, packed_float
from pytest_initcheck.report.quantities import columns, named, short_number
from pytest_initcheck.report.quantities import text as value_text
from pytest_initcheck.report.texts import Texts

MOST_CHARACTERS = 1_600_000
FINE = 9_000  # so many histograms may take two characters a bin
_COST = 30  # of what stands beside the bins
ROLES = ("weights", "activations", "gradients")
SERIES = ("before", "after", "base-before", "base-after")
LEFT_OUT = -1
# Of numbers that a baseline keeps with seven digits.
_SAME = 1e-6


@dataclass
class Budget:
    """How many characters histograms may still take, and how many a bin of them has."""

    left: int = MOST_CHARACTERS
    width: int = 2

    @classmethod
    def of(cls, session: SessionRecord) -> Budget:
        """That of a page: with many histograms each is held more coarsely."""
        entries = (entry for test in session.tests for entry in test.entries)
        layers = sum(len(m.layers) for entry in entries for m in models_of(entry).values())
        return cls(width=2 if len(ROLES) * layers <= FINE else 1)


def models_of(entry: Entry) -> dict[str, ModelRecord]:
    """The models that are shown over each other, by series."""
    expected = entry.comparison.expected if entry.comparison else None
    found = {
        "before": entry.record.before,
        "after": entry.record.after,
        "base-before": expected.before if expected else None,
        "base-after": expected.after if expected else None,
    }
    return {name: model for name, model in found.items() if model is not None}


@dataclass
class _Moments:
    """The same layer in the records that are overlaid."""

    now: dict[str, LayerRecord] = field(default_factory=dict)

    @property
    def any(self) -> LayerRecord:
        return next(iter(self.now.values()))

    @property
    def own(self) -> list[LayerRecord]:
        """The layer at the moments of this run."""
        return [self.now[name] for name in ("before", "after") if name in self.now]


def layers_data(entry: Entry, texts: Texts, budget: Budget) -> dict[str, Any] | None:
    """The layers of the entry's models; None where it recorded no model.

    Layers with findings get their histograms first; where no room is left, mean and spread stay,
    and -1 stands for the histogram.
    """
    models = models_of(entry)
    if "before" not in models and "after" not in models:
        return None
    layers = _aligned(models)
    record = entry.record
    moments = [m.moment for m in (record.before, record.after) if m is not None]
    words = [layer_words(each.any) for each in layers.values()]
    data: dict[str, Any] = {
        "names": [texts.add(name) for name in layers],
        "kinds": [texts.add(kind) for kind, _ in words],
        "shapes": [texts.add(shape) for _, shape in words],
        "acts": [texts.add(each.any.nonlinearity or "") for each in layers.values()],
        "rows": [_rows(each) for each in layers.values()],
        "moments": texts.add_all(moments),
        "charts": _charts(layers, _flagged(entry.findings), texts, budget),
    }
    facts = _model_facts(record)
    if facts:
        data["facts"] = [texts.add_all(pair) for pair in facts]
    unseen = list(dict.fromkeys(n for m in _own(record) for n in m.not_observed))
    if unseen:
        data["unseen"] = texts.add_all(unseen)
    return data


def _own(record: RunRecord) -> list[ModelRecord]:
    return [model for model in (record.before, record.after) if model is not None]


def _aligned(models: Mapping[str, ModelRecord]) -> dict[str, _Moments]:
    layers: dict[str, _Moments] = {}
    for series in SERIES:
        for layer in models[series].layers if series in models else ():
            if series in ("before", "after") or layer.name in layers:
                layers.setdefault(layer.name, _Moments()).now[series] = layer
    return layers


def _flagged(findings: Iterable[Finding]) -> set[str]:
    return {name for finding in findings for name in (finding.layer, *finding.layers)}


def _rows(moments: _Moments) -> list[str]:
    """The table's cells at each moment, a line each; one line where nothing changes."""
    lines = ["\t".join(column.cell(layer) for column in _COLUMNS) for layer in moments.own]
    return list(dict.fromkeys(lines))


_COLUMNS = columns()


def titles() -> list[str]:
    """The titles of the table's columns."""
    return [column.title for column in _COLUMNS]


def _charts(
    layers: Mapping[str, _Moments], flagged: set[str], texts: Texts, budget: Budget
) -> list[Any]:
    charts: dict[str, Any] = dict.fromkeys(layers)
    for name in sorted(layers, key=lambda name: name not in flagged):
        tensors = _tensors_of(layers[name])
        need = sum(_cost(stats, budget.width) for stats in tensors.values())
        width = budget.width if need <= budget.left else 0
        budget.left -= need if width else 0
        charts[name] = [_chart(key, stats, texts, width) for key, stats in tensors.items()]
    return list(charts.values())


def _cost(stats: Mapping[str, TensorStats], width: int) -> int:
    return sum(
        _COST + width * len(one.histogram.counts)
        for one in stats.values()
        if one.histogram is not None
    )


def _tensors_of(moments: _Moments) -> dict[tuple[str, str], dict[str, TensorStats]]:
    """The tensors of a layer by role and name, each by series; those of this run only."""
    found: dict[tuple[str, str], dict[str, TensorStats]] = {}
    for series in SERIES:
        if series in moments.now:
            for key, stats in _tensors(moments.now[series]):
                if series in ("before", "after") or key in found:
                    found.setdefault(key, {})[series] = stats
    return {key: found[key] for key in sorted(found, key=lambda key: ROLES.index(key[0]))}


def _tensors(layer: LayerRecord) -> Iterator[tuple[tuple[str, str], TensorStats]]:
    for key, stats in _main(layer.weights).items():
        yield ("weights", key), stats
    if layer.activations is not None:
        yield ("activations", ""), layer.activations
    for key, stats in _main(layer.gradients).items():
        yield ("gradients", key), stats


def _main(tensors: Mapping[str, TensorStats]) -> Mapping[str, TensorStats]:
    # A bias gets no chart of its own beside a weight: its numbers are in run.json.
    kept = {key: stats for key, stats in tensors.items() if "bias" not in key}
    return kept or tensors


def _chart(
    key: tuple[str, str], stats: Mapping[str, TensorStats], texts: Texts, width: int
) -> list[Any]:
    role, name = key
    caption = {"weights": name, "activations": "activations", "gradients": f"gradient of {name}"}
    series = [[SERIES.index(each), *_series(each, stats, width)] for each in stats]
    return [ROLES.index(role), texts.add(caption[role]), series]


def _series(name: str, stats: Mapping[str, TensorStats], width: int) -> list[Any]:
    """Mean, std, ends and counts in one text; the place of a series like it; what is not finite."""
    mine = stats[name]
    text, tail, histogram = packed_float(mine.mean) + packed_float(mine.std), None, mine.histogram
    if histogram is not None and is_drawable(histogram):
        twin = name.removeprefix("base-")
        if twin != name and twin in stats and _is_same(histogram, stats[twin].histogram):
            tail = SERIES.index(twin)
        elif not width:
            tail = LEFT_OUT
        else:
            text += packed_float(histogram.low) + packed_float(histogram.high)
            text += packed_counts(histogram.counts, width)
    if mine.nonfinite:
        return [text, tail, mine.nonfinite]
    return [text] if tail is None else [text, tail]


def _is_same(a: Histogram, b: Histogram | None) -> bool:
    if b is None or a.counts != b.counts:
        return False
    return all(math.isclose(x, y, rel_tol=_SAME) for x, y in ((a.low, b.low), (a.high, b.high)))


def _model_facts(record: RunRecord) -> list[tuple[str, str]]:
    models = _own(record)
    facts = []
    for name, title, _ in named(ModelRecord):
        values = [(model.moment, getattr(model, name)) for model in models]
        if isinstance(values[0][1], TensorStats):
            facts.append((title, describe_tensor(values[0][1])))
            continue
        facts += [
            (f"{title}, {moment}", value_text(ModelRecord, name, value))
            for moment, value in values
            if value is not None and not isinstance(value, TensorStats)
        ]
    return facts


def describe_tensor(stats: TensorStats) -> str:
    """The tensor in words: shape, mean, std, range and what is not finite."""
    shape = " × ".join(map(str, stats.shape)) or str(stats.n)
    text = f"{shape} {stats.dtype}".strip()
    if stats.mean is not None and stats.std is not None:
        text += f", mean {short_number(stats.mean)}, std {short_number(stats.std)}"
    if stats.min is not None and stats.max is not None:
        text += f", {short_number(stats.min)} to {short_number(stats.max)}"
    if stats.zero_share > 0 and math.isfinite(stats.zero_share):
        text += f", {stats.zero_share:.1%} zero"
    if stats.nonfinite:
        text += f", {stats.nonfinite} not finite"
    for name, title, _ in named(TensorStats):
        text += f", {title} {value_text(TensorStats, name, getattr(stats, name))}"
    return text
