"""The profile of a finding along the depth: in words, in the failure, and on the page."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from support.records import mlp
from support.report import vanishing
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.records import Entry, RunRecord, SessionRecord, TestRecord
from pytest_initcheck.report.profile import profile_text


def deep(depth=30, width=64):
    torch.manual_seed(0)
    parts = [
        p for i in range(depth) for p in (nn.Linear(20 if i == 0 else width, width), nn.ReLU())
    ]
    return nn.Sequential(*parts, nn.Linear(width, 5))


def data():
    torch.manual_seed(1)
    return torch.randn(64, 20), torch.randint(0, 5, (64,))


def test_a_deep_network_that_vanishes_is_one_finding_with_its_profile():
    found = [f for f in diagnose(deep(), data()).findings if f.severity != "info"]
    assert [f.id for f in found] == ["IC402"]
    values = list(found[0].profile.values())
    assert len(values) == 31
    assert values[0] == 1
    assert values[-1] < 1e-5
    begins = list(found[0].profile).index(found[0].layer)
    assert values[begins] > 1e-5 > values[begins + 3]


def test_the_words_are_thinned():
    assert profile_text({str(i): 1.0 for i in range(400)}).count(",") == 7
    assert profile_text({"": 1.0, "a": 0.0}) == "model: 1, a: 0"


def test_the_failure_tells_profile_and_code(pytester):
    pytester.makepyfile(
        """
        import torch
        from torch import nn

        def test_deep(initcheck):
            torch.manual_seed(0)
            model = nn.Sequential(*[p for _ in range(30) for p in (nn.Linear(20, 20), nn.ReLU())])
            model.append(nn.Linear(20, 5))
            initcheck.assert_healthy(model, (torch.randn(64, 20), torch.randint(0, 5, (64,))))
        """
    )
    result = pytester.runpytest_inprocess("--initcheck-baselines=off", "-p", "no:hypothesispytest")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*profile*0: 1, *", "*as code*", "*kaiming_normal_*"])


def profiled(profile, limit=1e-5, layer="layers.1"):
    found = replace(vanishing(), profile=profile, limit=limit, layer=layer, layers=(layer,))
    record = RunRecord(before=mlp(random.Random(0), depth=2))
    entry = Entry(name="d", kind="diagnosis", record=record, verdict="fail", findings=(found,))
    test = TestRecord(nodeid="a.py::t", outcome="failed", entries=(entry,))
    return SessionRecord(1, {}, (test,))


@pytest.mark.browser
def test_zeros_have_a_row_of_their_own_and_nothing_is_clamped(show):
    values = {f"layers.{i}": 10.0 ** -(i + 1) if i < 22 else 0.0 for i in range(30)}
    seen = show(profiled(values, layer="layers.5"), "zeros")
    test = seen.open_test("t")
    chart = test.locator(".findings .depth").first
    assert chart.locator("svg.l .k-zero").get_attribute("d").count("M") == 8
    assert "begins at layers.5" in chart.locator("text.begin").text_content()
    box = chart.locator(".chart")
    box.focus()
    told = []
    for key in ("Home", *["ArrowRight"] * 21, "End"):
        seen.page.keyboard.press(key)
        told.append(seen.page.locator("#tip").inner_text())
    assert told[0] == "layers.0\nstart: 0.1"
    assert told[20] == "layers.20\nstart: 1e−21"
    assert told[-1] == "layers.29\nstart: 0"
    assert "layers.29" in seen.page.locator("#live").inner_text()
    ticks = chart.locator("svg text.r").all_text_contents()
    assert "0" in ticks
    assert any("e−" in tick for tick in ticks)
    assert seen.faults == []


@pytest.mark.browser
def test_what_is_not_finite_is_told(show):
    seen = show(profiled({"layers.0": math.nan, "layers.1": math.inf}), "nan")
    test = seen.open_test("t")
    assert "no value is finite" in test.locator(".findings").inner_text()
    seen = show(profiled({"layers.0": 1.0, "layers.1": math.inf, "layers.2": 1e-9}), "inf")
    assert "not finite" in seen.open_test("t").locator(".findings .legend").inner_text()
    assert seen.faults == []
