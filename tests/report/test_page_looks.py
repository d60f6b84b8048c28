"""How the page looks: both themes against stored pictures, and what is stepped through.

A stored picture is the first screen scaled down to 64 × 45 points. What text looks like in detail
is the font's: a point may differ by as much as a line of text that moved by its own height, on the
mean by a fortieth of the scale. Where the fonts are others than those of the stored pictures the
comparison is skipped. INITCHECK_LOOKS=store stores them anew.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.report import session

from pytest_initcheck.records import (
    Entry,
    Points,
    RunRecord,
    Scatter,
    SessionRecord,
    TestRecord,
)
from pytest_initcheck.records.scenes import Confusion, Landscape, Mistaken
from pytest_initcheck.report import FORMAT, render

pytestmark = pytest.mark.browser
STORED = Path(__file__).parent / "looks"
SMALL = (64, 45)
MEAN, MOST = 255 / 40, 110
WIDTHS = """() => {
  const pen = document.createElement('canvas').getContext('2d');
  return ['body', '.mono, code, h1'].map((at) => {
    pen.font = '100px ' + getComputedStyle(document.querySelector(at)).fontFamily;
    return Math.round(pen.measureText('Which fonts are here: 0123456789').width);
  });
}"""


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a session's page in a theme."""
    contexts = []

    def open_page(record, scheme="light", width=1280):
        file = tmp_path / "report.html"
        file.write_text(render(record), encoding="utf-8")
        size = {"width": width, "height": 900}
        contexts.append(
            browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        )
        page = contexts[-1].new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("article.test")
        return page

    yield open_page
    for context in contexts:
        context.close()


def small(png):
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGB").resize(SMALL, Image.Resampling.BOX)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_looks_as_it_was_stored(opened, scheme):
    page = opened(session(), scheme)
    now, fonts = small(page.screenshot()), page.evaluate(WIDTHS)
    file, known = STORED / f"{scheme}.png", STORED / "fonts.json"
    if os.environ.get("INITCHECK_LOOKS") == "store":
        STORED.mkdir(exist_ok=True)
        now.save(file, optimize=True)
        known.write_text(json.dumps(fonts) + "\n", encoding="utf-8")
    if fonts != json.loads(known.read_text(encoding="utf-8")):
        pytest.skip(f"the fonts are others than those of {known.name}: {fonts}")
    with Image.open(file) as picture:
        apart = np.abs(np.asarray(now, float) - np.asarray(picture.convert("RGB"), float))
    assert apart.mean() < MEAN
    assert apart.max() < MOST


def test_the_stored_pictures_tell_the_themes_apart():
    light, dark = (
        np.asarray(Image.open(STORED / f"{name}.png").convert("RGB"), float)
        for name in ("light", "dark")
    )
    assert np.abs(light - dark).mean() > 10 * MEAN


def scenes():
    """A record with a landscape, two ways over it, points by moment and a confusion."""
    values = tuple(float(x * x) for x in range(-20, 21))
    ways = tuple(tuple(20.0 - seed - i for i in range(6)) for seed in (0, 1))
    record = RunRecord(
        seeds=(3, 5),
        curves={"w0": ways, "objective": tuple(tuple(w * w for w in way) for way in ways)},
        landscape=Landscape(low=(-20.0,), high=(20.0,), size=41, values=values),
        confusion=Confusion(
            classes=2,
            counts=(9, 1, 2, 8),
            mistaken=(Mistaken(place=4, truth=1, predicted=0, count=2, pixels="AP8A", width=1),),
        ),
        scatters=(
            Scatter(
                title="units",
                x="unit 0",
                y="unit 1",
                moments=tuple(
                    Points(moment=f"epoch {i}", x=(0.0, 1.0), y=(0.0, float(i))) for i in (0, 9)
                ),
            ),
        ),
    )
    entry = Entry(name="e", kind="escape", record=record)
    return SessionRecord(FORMAT, {}, (TestRecord(nodeid="a.py::t", entries=(entry,)),))


def test_a_way_is_stepped_forward_and_back_seed_by_seed(opened):
    page = opened(scenes(), width=360)
    page.locator("#toggle").click()
    told = page.locator(".stepper output").first
    assert told.inner_text() == "step 5, w 15, objective 225"
    page.get_by_role("button", name="One step back").first.click()
    assert told.inner_text() == "step 4, w 16, objective 256"
    page.locator(".stepper input").first.focus()
    page.keyboard.press("Home")
    assert told.inner_text() == "step 0, w 20, objective 400"
    page.locator(".scene select").select_option("5")
    assert page.locator(".stepper output").first.inner_text() == "step 5, w 14, objective 196"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_points_are_stepped_by_moment_and_counts_stand_in_a_table(opened):
    page = opened(scenes())
    page.locator("#toggle").click()
    scatter = page.locator(".scene", has_text="units")
    assert scatter.locator("output").inner_text() == "epoch 9"
    before = scatter.locator("path.here").get_attribute("d")
    scatter.get_by_role("button", name="One step back").click()
    assert scatter.locator("output").inner_text() == "epoch 0"
    assert scatter.locator("path.here").get_attribute("d") != before
    rows = page.locator(".confusion tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [["0", "9", "1", "90", "%"], ["1", "2", "8", "80", "%"]]
    assert "1 taken for 0, 2×" in page.locator(".mistaken").inner_text()
    assert page.locator(".mistaken canvas").evaluate("(c) => [c.width, c.height]") == [1, 3]
