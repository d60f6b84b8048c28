"""Draws docs/report.png from the report of ``make suite``: ``python docs/picture.py``.

Needs playwright, pillow and a chromium (or its path in CHROMIUM).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "initcheck-report" / "index.html"
PICTURE = ROOT / "docs" / "report.png"
TEST = "test_plugin_finds_the_bad_start[very wide]"
WIDTH, HEIGHT = 1180, 1560
COLOURS = 200

FIND = """name => [...document.querySelectorAll('article.test')]
    .find(test => test.innerText.includes(name)).id"""


def shoot(page: Page) -> None:
    """Open one test, let all of its charts draw, take the part that fits."""
    page.goto(REPORT.as_uri())
    place = page.evaluate(FIND, TEST)
    page.goto(f"{REPORT.as_uri()}#{place}")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(1000)
    box = page.locator(f"#{place}").bounding_box()
    assert box is not None
    top = box["y"] + page.evaluate("scrollY") - 12
    # The bar of filters follows the eye, and would hide the head of the test.
    page.evaluate("scrollTo(0, 0)")
    clip = {"x": 0.0, "y": top, "width": float(WIDTH), "height": float(HEIGHT)}
    page.screenshot(path=PICTURE, clip=clip, full_page=True)  # type: ignore[arg-type]


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shoot(browser.new_page(viewport={"width": WIDTH, "height": 900}))
        browser.close()
    with Image.open(PICTURE) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
