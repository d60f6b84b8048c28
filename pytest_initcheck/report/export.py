"""Records of models as pandas frames and matplotlib figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = [
    "layer", "kind", "nonlinearity", "moment", "tensor", "n", "mean", "std", "min", "max",
    "zero_share", "nonfinite", "dead_share", "saturated_share", "update_ratio", "dtype", "shape",
]  # fmt: skip
# Okabe, Ito: Color universal design (2008); without yellow, which is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_PANELS = ("weights", "activations", "gradients")


def models_frame(records: Sequence[ModelRecord]) -> pd.DataFrame:
    """One row per layer, moment (one for each record) and tensor."""
    import pandas as pd

    rows = [row for record in records for row in model_rows(record)]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame


def model_rows(record: ModelRecord) -> Iterator[dict[str, Any]]:
    """The rows of one moment."""
    for layer in record.layers:
        for role, stats in layer_tensors(layer):
            yield {
                "layer": layer.name,
                "kind": layer.kind,
                "nonlinearity": layer.nonlinearity,
                "moment": record.moment,
                "tensor": role,
                "dead_share": layer.units.dead_share if layer.units else None,
                "saturated_share": layer.units.saturated_share if layer.units else None,
                "update_ratio": layer.update_ratio.get(role),
                **{name: getattr(stats, name) for name in _COLUMNS if hasattr(stats, name)},
            }


def layer_tensors(layer: LayerRecord) -> Iterator[tuple[str, TensorStats]]:
    """Every summarised tensor of a layer with its role ("weight", "weight gradient", …)."""
    yield from layer.weights.items()
    for name, stats in layer.gradients.items():
        yield f"{name} gradient", stats
    if layer.activations:
        yield "activation", layer.activations
    if layer.activation_gradients:
        yield "activation gradient", layer.activation_gradients


def models_figure(before: ModelRecord, after: ModelRecord, title: str) -> Figure:
    """A row of three histograms per layer with weights: weights, activations, gradients."""
    from matplotlib.figure import Figure

    names = [layer.name for layer in before.layers if layer.weights or layer.activations]
    figure = Figure(figsize=(9, 1.8 * max(len(names), 1)), layout="constrained")
    axes = figure.subplots(max(len(names), 1), 3, squeeze=False)
    for row, name in zip(axes, names, strict=False):
        for panel, axis in zip(_PANELS, row, strict=True):
            for layer, label in _both(name, before, after):
                _draw(axis, _panel(layer, panel), label)
            axis.set_title(f"{name or 'model'} {panel}", fontsize=8)
            axis.tick_params(labelsize=6)
        row[0].set_ylabel("share of values", fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("value", fontsize=7)
    figure.suptitle(title, fontsize=10)
    if names:
        axes[0][0].legend(fontsize=6)
    return figure


def _both(name: str, before: ModelRecord, after: ModelRecord) -> Iterator[tuple[LayerRecord, str]]:
    """A layer at both moments; a model may have lost it, or come to it by another way."""
    for record, label in ((before, "before"), (after, "after")):
        yield from ((layer, label) for layer in record.layers if layer.name == name)


def _panel(layer: LayerRecord, panel: str) -> TensorStats | None:
    if panel == "activations":
        return layer.activations
    tensors = layer.weights if panel == "weights" else layer.gradients
    return tensors.get("weight", next(iter(tensors.values()), None))


def _draw(axis: Axes, stats: TensorStats | None, label: str) -> None:
    if stats is None or stats.histogram is None:
        return
    total = max(sum(stats.histogram.counts), 1)
    heights = [count / total for count in stats.histogram.counts]
    is_before = label == "before"
    axis.stairs(
        heights,
        list(stats.histogram.edges),
        label=label,
        fill=is_before,
        color=COLOURS[0 if is_before else 1],
        alpha=0.6 if is_before else 1.0,
    )
