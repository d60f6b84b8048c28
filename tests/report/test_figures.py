"""What `plot()` draws where there is little to draw, or more than fits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pytest_initcheck import RunRecord, diagnose
from pytest_initcheck.evidence.sigma_range import SigmaRange
from pytest_initcheck.report.figures import bars_figure, sweep_figure
from pytest_initcheck.report.pack import rounded


def titles(figure):
    """What stands over, or in, the fields of a figure."""
    return " ".join(
        [each.get_text() for axes in figure.axes for each in (axes.title, *axes.texts)]
        + [figure.get_suptitle()]
    )


def test_a_record_of_two_models_shows_both_of_each_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    seen = diagnose(model, (torch.randn(16, 4), torch.arange(16) % 3))
    figure = RunRecord(before=seen.record, after=seen.record).plot()
    assert len(figure.axes) >= 2


def test_a_record_without_anything_says_so():
    assert "nothing was measured" in titles(RunRecord().plot())


def test_cells_without_curves_show_their_metrics():
    cells = {f"rate {rate}": RunRecord(metrics={"loss": (rate, 2 * rate)}) for rate in (1.0, 2.0)}
    assert "loss" in titles(sweep_figure(cells)) + str(
        [axes.get_xlabel() + axes.get_ylabel() for axes in sweep_figure(cells).axes]
    )


def test_fields_that_do_not_fill_their_grid_leave_no_empty_ones():
    cells = {"a": RunRecord(curves={f"c{i}": ((1.0, 0.5),) for i in range(4)})}
    assert len(sweep_figure(cells).axes) == 4


def test_a_curve_without_values_is_left_out():
    figure = sweep_figure({"a": RunRecord(curves={"c": ((1.0, 0.5),)}), "b": RunRecord(
        curves={"c": ()})})  # fmt: skip
    assert len(figure.axes[0].lines) == 1


def test_bars_of_nothing_and_a_range_without_ends_are_empty():
    assert "nothing was asked" in titles(bars_figure({}, "share", "dependences"))
    figure = SigmaRange(layer="0", low=math.nan, high=math.nan).plot()
    assert figure.axes[0].patches == [] or len(figure.axes[0].patches) == 0


@pytest.mark.parametrize("value", [1.7976931348623157e308, -1.7976931348623157e308])
def test_a_number_that_rounds_beyond_the_greatest_stays_as_it_is(value):
    assert rounded(value, 2) == value
