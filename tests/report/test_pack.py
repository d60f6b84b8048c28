"""Compact numbers: what is packed comes back, small counts stay, and nothing becomes too large."""

from __future__ import annotations

import json
import math
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.records import mlp, tensor
from support.report import many_layers, many_tests, saturation

from pytest_initcheck import report
from pytest_initcheck.records import (
    Comparison,
    Entry,
    RunRecord,
)
from pytest_initcheck.report import pack
from pytest_initcheck.report.charts import chart_data
from pytest_initcheck.report.curves import curve_views
from pytest_initcheck.report.layers import LEFT_OUT, Budget, layers_data
from pytest_initcheck.report.texts import Texts

calm = settings(max_examples=60, deadline=None, database=None)


def places(text, width):
    digits = [pack.DIGITS.index(digit) for digit in text]
    if width == 1:
        return digits
    return [a * pack.BASE + b for a, b in zip(digits[::2], digits[1::2], strict=True)]


def shares(text, width):
    squares = [place**2 for place in places(text, width)]
    return [square / sum(squares) for square in squares]


@calm
@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=70).filter(any), st.sampled_from([1, 2])
)
def test_counts_come_back_as_shares(counts, width):
    found = shares(pack.packed_counts(counts, width), width)
    top = max(counts) / sum(counts)
    for count, share in zip(counts, found, strict=True):
        assert (share > 0) == (count > 0)
        assert share == pytest.approx(count / sum(counts), abs=top * (0.04 if width == 1 else 1e-3))


@calm
@example([5e-324, 1.7976931348623157e308])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_and_lines_come_back(values):
    low, high = min(values), max(values)
    line = places(pack.packed_line(values, low, high, False), 2)
    assert all(place <= pack.TOP for place in line)
    if low < high:
        assert line[values.index(low)] == 0
        assert line[values.index(high)] == pack.TOP
    assert all(len(pack.packed_float(value)) == 5 for value in values)


def test_a_float_keeps_seven_digits():
    for value in (1.0, -3.141592653, 1e-45, -2.5e300, 0.1):
        place = 0
        for digit in pack.packed_float(value):
            place = place * pack.BASE + pack.DIGITS.index(digit)
        half, decades = pack.BASE**5 // 2 - 2, 325
        is_negative = place - 2 > half
        size = 10 ** ((place - 2 - half * is_negative) / half * 2 * decades - decades)
        assert (-size if is_negative else size) == pytest.approx(value, rel=1e-6)
    assert pack.packed_float(None) == pack.packed_float(math.nan) != pack.packed_float(0.0)


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, 1), (0.123456, 0.1235), (math.inf, "inf"), (None, None), (2e9, 2e9)]
)
def test_rounded(value, text):
    assert pack.rounded(value) == text


def test_what_is_not_finite_has_no_place():
    line = places(pack.packed_line([1.0, math.nan, math.inf, 0.0, 2.0], 1.0, 2.0, True), 2)
    assert [place > pack.TOP for place in line] == [False, True, True, True, False]


numbers = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308, -1e308])
curve = st.lists(numbers, max_size=8).map(tuple)


@calm
@example(((0.0,),), ((0.0, -1.712e308),))
@given(st.lists(curve, max_size=5).map(tuple), st.lists(curve, max_size=3).map(tuple))
def test_any_curves_become_strict_json(curves, expected):
    record, base = RunRecord(curves={"c": curves}), RunRecord(curves={"c": expected})
    for view in curve_views(record, base, "run"):
        data = chart_data(view, Texts())
        json.dumps(data, allow_nan=False)


def test_curves_have_seeds_mean_band_baseline_and_levels():
    record = RunRecord(
        curves={"loss": ((2.0, 1.0), (4.0, 3.0))}, levels={"loss": {"chance": 2.3, "odd": math.nan}}
    )
    expected = RunRecord(curves={"loss": ((2.5, 1.5),)})
    (view,) = curve_views(record, expected, "run")
    assert view.lines[2].points == ((1.0, 3.0), (2.0, 2.0))
    assert view.bands[0].high[0][1] == pytest.approx(3 + math.sqrt(2))
    texts = Texts()
    data = chart_data(view, texts)
    assert [line[0] for line in data["lines"]] == ["seed", "seed", "mean", "baseline"]
    assert data["lines"][2][2] == [3, 2]
    assert data["xs"] == [[1, -2]]
    assert [(texts.all[name], y) for name, y in data["levels"]] == [("chance", 2.3)]


def test_values_that_are_not_finite_leave_a_gap_and_a_note():
    record = RunRecord(curves={"loss": ((1.0, math.nan, 2.0), (1.0, math.inf, 2.0))})
    (view,) = curve_views(record, None, "diagnosis")
    assert chart_data(view, Texts())["lines"][0][2] == [1, None, 2]
    assert "2 of 2 seeds became NaN" in view.note


def test_a_curve_without_a_finite_value_keeps_its_place():
    (view,) = curve_views(RunRecord(curves={"loss": ((math.nan, math.inf),)}), None, "run")
    texts = Texts()
    data = chart_data(view, texts)
    assert (texts.all[data["title"]], data["lines"]) == ("loss", [])


def test_many_long_curves_are_thinned_and_it_says_so():
    curves = tuple(tuple(float(i + s) for i in range(2000)) for s in range(100))
    (view,) = curve_views(RunRecord(curves={"w": curves}), None, "escape")
    assert len(json.dumps(chart_data(view, Texts()))) < 12_000
    assert "32 seeds drawn" in view.note
    assert "one point in 40 drawn" in view.note
    assert all(line.points[-1][0] == 1999 for line in view.lines)


def entry(record, expected=None, findings=()):
    comparison = Comparison(status="match", expected=expected) if expected else None
    return Entry(
        name="d", kind="diagnosis", record=record, comparison=comparison, findings=findings
    )


def test_a_baseline_that_is_the_same_is_not_held_twice():
    model = mlp(random.Random(0), depth=1)
    data = layers_data(entry(RunRecord(before=model), RunRecord(before=model)), Texts(), Budget())
    for _, _, series in data["charts"][0]:
        (code, whole), (base, head, twin) = series
        assert (code, base, twin) == (0, 2, 0)
        assert len(head) == 10 < len(whole)


def test_layers_with_findings_come_first_where_room_is_short():
    model = mlp(random.Random(0), depth=6)
    found = (saturation("layers.4"),)
    budget = Budget(left=400, width=1)
    data = layers_data(entry(RunRecord(before=model), findings=found), Texts(), budget)
    tails = [[series[0][2:] for _, _, series in charts] for charts in data["charts"]]
    assert tails[4] == [[], [], []]
    assert tails[5] == [[LEFT_OUT]] * 3
    assert budget.left >= 0


def test_odd_histograms_are_left_out():
    odd = tensor(random.Random(0))
    assert pack.is_drawable(odd.histogram)
    broken = mlp(random.Random(0), depth=1)
    assert json.dumps(layers_data(entry(RunRecord(before=broken)), Texts(), Budget()))


def test_a_deep_model_takes_little_room():
    session = many_layers(200)
    page = report.render(session)
    assert len(page.encode()) < 700_000


@pytest.mark.slow
def test_two_thousand_tests_stay_below_five_megabytes():
    session = many_tests()
    begin = time.process_time()
    page = report.render(session)
    # Speed is measured in benchmarks/report.py; this is what no machine excuses.
    assert time.process_time() - begin < 20
    assert len(page.encode()) < 5_000_000
