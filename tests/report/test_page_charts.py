"""Charts in a real browser: what they say is what was measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from support.records import layer, mlp, runs

from pytest_initcheck.records import (
    Comparison,
    Entry,
    Histogram,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TensorStats,
    TestRecord,
)

pytestmark = pytest.mark.browser


def run(record, comparison=None, kind="diagnosis"):
    entry = Entry(name="d", kind=kind, record=record, verdict="pass", comparison=comparison)
    return SessionRecord(1, {}, (TestRecord(nodeid="a.py::t", entries=(entry,)),))


def constant(value, n=16):
    bins = (n, *[0] * 31)
    return TensorStats(n=n, mean=value, std=0.0, min=value, max=value,
                       histogram=Histogram(value, value, bins))  # fmt: skip


def test_a_constant_is_a_labelled_spike_and_the_same_baseline_is_drawn_once(show):
    model = ModelRecord(layers=(
        replace(layer(random.Random(0), "a"), weights={"weight": constant(0.5)}, gradients={}),
    ))  # fmt: skip
    known = Comparison(status="match", expected=RunRecord(before=model))
    test = show(run(RunRecord(before=model), known), "constant").open_test("t")
    weight = test.locator(".hists figure").first
    assert "all 0.5, baseline the same" in weight.inner_text()
    assert "start: all 0.5" in weight.locator("svg").text_content()
    assert weight.locator("path.spike").count() == 1
    assert test.locator(".h-base-before").count() == 0


def test_axes_are_labelled_and_can_be_shared_by_role(show):
    model = ModelRecord(layers=tuple(
        layer(random.Random(i), f"l{i}", weight=10.0**i) for i in range(2)
    ))  # fmt: skip
    seen = show(run(RunRecord(before=model)), "axes")
    test = seen.open_test("t")
    narrow = test.locator(".hists figure").first
    text = narrow.locator("svg").text_content()
    assert "value" in text
    assert "% of values: peak" in text
    own = narrow.locator("svg text").all_text_contents()
    test.get_by_role("button", name="Same axis").click()
    shared = test.locator(".hists figure").first.locator("svg text").all_text_contents()
    wide = test.locator(".hists").nth(1).locator("figure").first.locator("svg text")
    assert own != shared
    assert shared[:2] == wide.all_text_contents()[:2]
    assert seen.faults == []


def test_pointing_at_a_histogram_tells_the_bin(show):
    seen = show(run(RunRecord(before=mlp(random.Random(0), depth=1))), "pointing")
    chart = seen.open_test("t").locator("svg.h").first
    chart.scroll_into_view_if_needed()
    chart.hover()
    told = seen.page.locator("#tip").inner_text()
    assert " to " in told
    assert "start: " in told
    assert "%" in told


def test_counts_are_drawn_linear_or_log(show):
    seen = show(run(RunRecord(before=mlp(random.Random(0), depth=1))), "pointing")
    seen.open_test("t")
    drawn = seen.page.locator("svg.h path.h-before").first
    seen.page.select_option("#scale", "linear")
    linear = drawn.get_attribute("d")
    seen.page.select_option("#scale", "log")
    assert drawn.get_attribute("d") != linear
    assert "log scale" in seen.page.locator("svg.h").first.text_content()
    seen.page.select_option("#scale", "linear")
    assert drawn.get_attribute("d") == linear


def test_a_tiny_change_is_no_plunge_and_chance_is_told(show):
    losses = (1.6094, 1.60938, 1.60936, 1.6093)
    record = RunRecord(curves={"loss": (losses,)}, levels={"loss": {"chance": 1.6094}})
    chart = show(run(record), "calm").open_test("t").locator("figure.line").first
    box = chart.locator("path.mean").bounding_box()
    assert box["height"] < 3
    assert "chance 1.61" in chart.locator("svg").text_content()


def test_single_seeds_are_drawn_on_demand(show):
    record = replace(runs(random.Random(0), 0.7), levels={"accuracy": {"target": 0.65}})
    test = show(run(record, kind="run"), "seeds").open_test("t")
    chart = test.locator("figure.line", has_text="accuracy").first
    assert not chart.locator("path.seed").is_visible()
    chart.get_by_role("button", name="Single seeds (8)").click()
    assert chart.locator("path.seed").is_visible()
    assert "target 0.65" in chart.locator("svg").text_content()


def test_no_chart_is_left_out_without_a_word(show):
    record = RunRecord(curves={"loss": ((math.nan, math.inf),), "ok": ((1.0, 2.0),)})
    seen = show(run(record), "lost")
    text = seen.open_test("t").inner_text()
    assert "no value is finite" in text
    assert seen.faults == []
