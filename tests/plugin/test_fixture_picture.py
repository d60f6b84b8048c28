"""initcheck.picture: figures become text that the report can hold."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from matplotlib.figure import Figure

from pytest_initcheck import InitcheckError
from pytest_initcheck.plugin.pictures import LARGEST_SVG, drawn


def figure(points):
    found = Figure(figsize=(3, 2))
    numbers = np.random.default_rng(0).normal(size=(2, points))
    found.subplots().scatter(*numbers)
    return found


def test_small_figure_is_svg():
    picture = drawn("title", figure(10))
    assert (picture.title, picture.media) == ("title", "image/svg+xml")
    assert "<svg" in picture.data
    assert len(picture.data) <= LARGEST_SVG


def test_large_figure_is_png():
    picture = drawn("title", figure(20_000))
    assert picture.media == "image/png"
    assert base64.b64decode(picture.data).startswith(b"\x89PNG")
    assert len(picture.data) < LARGEST_SVG


@pytest.mark.parametrize("points", [10, 20_000])
def test_equal_figures_give_equal_text(points):
    assert drawn("title", figure(points)) == drawn("title", figure(points))


def test_axes_stand_for_their_figure():
    found = figure(10)
    assert drawn("title", found.axes[0]) == drawn("title", found)


@pytest.mark.parametrize("value", [None, "figure.png", [1, 2]])
def test_anything_else_is_one_clear_error(value):
    with pytest.raises(InitcheckError, match="is no matplotlib figure; pass a Figure"):
        drawn("title", value)


def test_pictures_are_in_the_report(models):
    models.test(
        test_a="""
        from matplotlib.figure import Figure
        def test_draws(initcheck):
            figure = Figure()
            figure.subplots().plot([1, 2])
            initcheck.picture("the <line>", figure)
        """
    )
    assert models.run("--initcheck-report=report/page.html").ret == 0
    (test,) = models.data()["tests"]
    assert [picture["title"] for picture in test["pictures"]] == ["the <line>"]
    page = (models.path / "report/page.html").read_text()
    assert "the \\u003cline>" in page
    assert "the <line>" not in page
