"""The profile of a finding along the depth: in the page, in words, and in the failure."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.report.profile import profile_svg, profile_text


def deep(depth=30, width=64):
    torch.manual_seed(0)
    parts = [
        p for i in range(depth) for p in (nn.Linear(20 if i == 0 else width, width), nn.ReLU())
    ]
    return nn.Sequential(*parts, nn.Linear(width, 5))


def data():
    torch.manual_seed(1)
    return torch.randn(64, 20), torch.randint(0, 5, (64,))


def heights(svg):
    return [float(y) for y in re.findall(r'<circle cx="\d+" cy="([\d.]+)"', svg)]


def test_a_deep_network_that_vanishes_is_one_finding_with_its_profile():
    found = [f for f in diagnose(deep(), data()).findings if f.severity != "info"]
    assert [f.id for f in found] == ["IC402"]
    values = list(found[0].profile.values())
    assert len(values) == 31
    assert values[0] == 1
    assert values[-1] < 1e-5
    begins = list(found[0].profile).index(found[0].layer)
    assert values[begins] > 1e-5 > values[begins + 3]


def test_the_line_falls_where_the_values_do_and_the_limit_is_drawn():
    svg = profile_svg({"first": 1.0, "middle": 1e-3, "last": 1e-6}, 1e-5)
    down = heights(svg)
    assert down == sorted(down)
    assert down[2] - down[1] == pytest.approx(down[1] - down[0], abs=0.2)
    assert 'class="limit"' in svg
    assert 'class="limit"' not in profile_svg({"a": 1.0, "b": 0.5}, 1e-9 * 0)


@pytest.mark.parametrize("profile", [{}, {"a": 1.0}, {"a": 0.0, "b": math.nan, "c": math.inf}])
def test_nothing_is_drawn_of_fewer_than_two_values(profile):
    assert profile_svg(profile, 1.0) == ""


@pytest.mark.parametrize("limit", [math.inf, math.nan, -1.0, 0.0])
def test_a_limit_that_no_scale_has_is_not_drawn(limit):
    drawn = profile_svg({"0": 1.0, "1": 1e-3}, limit)
    assert 'class="mean"' in drawn
    assert 'class="limit"' not in drawn


def test_names_are_escaped_and_long_profiles_thinned():
    svg = profile_svg({f"<b>{i}": 0.5**i for i in range(400)}, None)
    assert "<b>" not in svg
    assert len(heights(svg)) == 120
    assert profile_text({str(i): 1.0 for i in range(400)}).count(",") == 7


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
    result.stdout.fnmatch_lines(["*profile: 0: 1, *", "*as code*", "*kaiming_normal_*"])
