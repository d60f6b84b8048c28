"""Histograms and line charts: well-formed, true to the counts, small, for any numbers."""

from __future__ import annotations

import math
import random
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.records import mlp, tensor
from support.report import many_layers

from pytest_initcheck import report
from pytest_initcheck.records import Histogram, RunRecord, TensorStats
from pytest_initcheck.report import axes, charts
from pytest_initcheck.report.curves import curve_views, depth_views
from pytest_initcheck.report.layers import Budget, HistogramView, layers_view

counts = st.lists(st.integers(0, 10**7), min_size=1, max_size=70).map(tuple)
ends = st.floats(-1e6, 1e6)
calm = settings(max_examples=60, deadline=None, database=None)


def stats(histogram: Histogram | None, mean: float = 0.0, std: float = 1.0) -> TensorStats:
    return TensorStats(n=10, mean=mean, std=std, min=-1.0, max=1.0, histogram=histogram)


def view(*histograms: Histogram | None) -> HistogramView:
    names = ("before", "after", "base-before", "base-after")
    pairs = tuple((name, stats(h)) for name, h in zip(names, histograms, strict=False))
    return HistogramView("weights", "weight", "fc1", pairs)


def drawn(svg: str) -> dict[str, list[tuple[float, float]]]:
    """The corners of each histogram's steps, read from the paths."""
    shapes = {}
    for name, d in re.findall(r'<path class="([abef])" d="([^"]*)"', svg):
        x, y, corners = 0.0, 0.0, []
        for letter, number in re.findall(r"([MhvV])(-?\d+(?: \d+)?)", d):
            if letter == "M":
                x, y = map(float, number.split())
            elif letter == "h":
                x += float(number)
            else:
                y = y + float(number) if letter == "v" else float(number)
            corners.append((x, y))
        shapes[name] = corners
    return shapes


@calm
@given(st.lists(st.tuples(ends, ends, counts), min_size=1, max_size=4))
def test_histograms_are_well_formed_and_stay_in_their_frame(parts):
    histograms = [Histogram(min(a, b), max(a, b), c) for a, b, c in parts]
    svg = str(charts.histogram_svg(view(*histograms)))
    ET.fromstring(svg)
    for corners in drawn(svg).values():
        assert corners[-1][0] == charts.WIDTH
        assert corners[-1][1] == charts.BASE
        assert all(charts.TOP - 1 <= y <= charts.BASE for _, y in corners)


@calm
@given(ends, ends, counts, st.integers(1, 80))
def test_resampling_keeps_every_value(a, b, values, bins):
    low, high = min(a, b), max(a, b)
    if high - low < 1e-6:
        high = low + 1
    histogram = Histogram(low, high, values)
    found = charts.resample(histogram, low - 1, high + 2, bins)
    assert sum(found) == pytest.approx(sum(values), rel=1e-9)


def test_heights_follow_the_shares():
    svg = str(charts.histogram_svg(view(Histogram(0.0, 4.0, (10, 20, 40, 5)))))
    heights = {}
    for x, y in drawn(svg)["b"]:
        heights.setdefault(x, charts.BASE - y)
    full = charts.BASE - charts.TOP
    assert heights[240.0] == full
    assert heights[160.0] == full / 2
    assert "peak 53.3 % a bin" in svg


def test_two_ranges_are_drawn_on_one_axis():
    svg = str(charts.histogram_svg(view(Histogram(-1, 1, (5, 5)), Histogram(-4, 4, (5, 5)))))
    assert 'data-lo="-4" data-hi="4"' in svg
    narrow = [float(c) for c in re.findall(r'class="b"[^>]*data-c="([^"]*)"', svg)[0].split()]
    assert sum(narrow) == pytest.approx(10)
    assert narrow[:14] == [0.0] * 14


def test_a_constant_tensor_is_a_spike_at_its_value():
    svg = str(charts.histogram_svg(view(Histogram(2.0, 2.0, (9, 0, 0, 0)))))
    assert 'data-lo="1" data-hi="3"' in svg
    places = [i for i, c in enumerate(re.findall(r'data-c="([^"]*)"', svg)[0].split()) if c != "0"]
    assert places == [charts.BINS // 2]


@pytest.mark.parametrize(
    "histogram",
    [
        None,
        Histogram(0.0, 0.0, ()),
        Histogram(0.0, 1.0, (0, 0, 0)),
        Histogram(math.nan, 1.0, (1, 2)),
        Histogram(-math.inf, math.inf, (1, 2)),
        Histogram(3.0, 1.0, (1, 2)),
        Histogram(-1.7e308, 1.7e308, (1, 2)),
    ],
)
def test_what_cannot_be_drawn_says_so(histogram):
    assert "nothing to draw" in charts.histogram_svg(view(histogram))


@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e299])
def test_extreme_ranges_are_drawn(size):
    svg = str(charts.histogram_svg(view(Histogram(-size, size, (1, 2, 3)), Histogram(0, 1, (1,)))))
    ET.fromstring(svg)
    assert "nan" not in svg.lower()


def test_a_spike_beside_a_tail_is_drawn_with_log_counts():
    gauss = tensor(random.Random(0)).histogram
    relu = tensor(random.Random(0), rectify=True).histogram
    assert "data-log" not in charts.histogram_svg(view(gauss))
    assert "data-log" in charts.histogram_svg(view(relu))
    assert "data-log" in charts.histogram_svg(view(gauss, Histogram(0.0, 0.001, (5000,))))


def test_a_histogram_takes_less_than_a_kilobyte():
    rng = random.Random(1)
    views = [view(tensor(rng, n=400, count=65536).histogram) for _ in range(161)]
    assert sum(len(charts.histogram_svg(v)) for v in views) < 161 * 800


def test_a_hundred_layers_before_and_after_stay_below_a_megabyte():
    page = report.render(many_layers(100))
    assert page.count('<svg class="h"') == 300
    assert len(page.encode()) < 700_000


def test_a_page_draws_no_more_than_its_budget_and_says_so():
    rng = random.Random(0)
    model = mlp(rng, depth=20)
    record = RunRecord(before=model)
    budget = Budget(left=30)
    views = layers_view(record, None, (), budget)
    assert views is not None
    assert views.drawn == 10
    assert sum(bool(layer.histograms) for layer in views.layers) == 10
    assert budget.left == 0


def lines(svg: str, name: str) -> str:
    return re.findall(rf'<path class="{name}" d="([^"]*)"', svg)[0]


def test_curves_show_seeds_mean_band_and_baseline():
    curves = {"loss": ((2.0, 1.0), (4.0, 3.0))}
    expected = RunRecord(curves={"loss": ((2.5, 1.5),)})
    (chart,) = curve_views(RunRecord(curves=curves), expected, "run")
    assert [line.series for line in chart.lines] == ["seed", "seed", "mean", "baseline"]
    assert chart.lines[2].points == ((1.0, 3.0), (2.0, 2.0))
    assert chart.bands[0].high[0][1] == pytest.approx(3 + math.sqrt(2))
    assert "2 seeds" in chart.note
    svg = str(charts.line_svg(chart))
    ET.fromstring(svg)
    assert lines(svg, "seed").count("M") == 2


def test_values_that_are_not_finite_leave_a_gap():
    record = RunRecord(curves={"loss": ((1.0, math.nan, 2.0, 3.0), (1.0, math.inf, 2.0, 3.0))})
    (chart,) = curve_views(record, None, "diagnosis")
    svg = str(charts.line_svg(chart))
    assert lines(svg, "mean").count("M") == 2
    assert "nan" not in svg.lower()
    assert "2 of 2 seeds became NaN" in chart.note


numbers = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308, -1e308])
curve = st.lists(numbers, max_size=8).map(tuple)


@calm
@example(((0.0,),), ((0.0, -1.712e308),))
@given(st.lists(curve, max_size=5).map(tuple), st.lists(curve, max_size=3).map(tuple))
def test_any_curves_are_drawn(curves, expected):
    record, base = RunRecord(curves={"c": curves}), RunRecord(curves={"c": expected})
    for chart in curve_views(record, base, "run"):
        svg = str(charts.line_svg(chart))
        ET.fromstring(svg)
        assert not re.search(r"\b(nan|inf)\b", re.sub("<title>.*</title>", "", svg))


def test_many_long_curves_are_thinned_and_it_says_so():
    curves = tuple(tuple(float(i + s) for i in range(2000)) for s in range(100))
    (chart,) = curve_views(RunRecord(curves={"w": curves}), None, "escape")
    assert len(charts.line_svg(chart)) < 100_000
    assert "32 seeds drawn" in chart.note
    assert "one point in 40 drawn" in chart.note
    assert all(line.points[-1][0] == 1999 for line in chart.lines)


def test_depth_profile_needs_three_layers_and_keeps_their_order():
    rng = random.Random(2)
    assert depth_views(RunRecord(before=mlp(rng, depth=2)), None) == ()
    views = depth_views(RunRecord(before=mlp(rng, depth=5, decay=0.1)), None)
    assert [v.title for v in views] == ["activation std by depth", "gradient rms by depth"]
    assert all(v.log for v in views)
    assert [x for x, _ in views[1].lines[0].points] == [0, 1, 2, 3, 4]


@calm
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300))
def test_ticks_lie_on_the_scale(low, width):
    scale = axes.Scale.around([low, low + width], False)
    if math.isfinite(scale.high - scale.low):
        assert all(scale.low <= tick <= scale.high for tick in axes.ticks(scale))
        assert len(axes.ticks(scale)) <= 8


@calm
@given(st.floats(1e-300, 1e298), st.floats(1, 1e9))
def test_log_ticks_lie_on_the_scale(low, ratio):
    scale = axes.Scale.around([low, low * ratio], True)
    found = axes.ticks(scale)
    assert 1 <= len(found) <= 12
    assert all(0 <= scale.place(tick) <= 1 for tick in found)


def test_numbers_tell_the_ends_of_a_narrow_range_apart():
    assert axes.number(1.00001, 1e-5) != axes.number(1.0, 1e-5)
    assert axes.number(-0.19, 0.4) == "−0.19"
    assert axes.number(1e-20, 1.0) == "0"


def test_values_that_differ_by_rounding_sit_on_one_place():
    svg = str(charts.strip_svg([4.0000001, 4.0000001], [4.0]))
    places = {round(float(x)) for x in re.findall(r'd="M([\d.]+) ', svg)[1:]}
    assert places == {70}
    spread = str(charts.strip_svg([1.0, 2.0], []))
    assert len(set(re.findall(r'class="dot" d="M([\d.]+) ', spread))) == 2


def test_the_least_range_of_floats_has_a_place():
    assert axes.Scale.around([0.0, 5e-324], False).place(0.0) == 0.5


def test_marks_at_the_end_of_all_numbers():
    found = axes.ticks(axes.Scale(1.0e307, 1.6e308, log=True), 4)
    assert found
    assert all(1.0e307 <= value <= 1.6e308 for value in found)
