"""Draws docs/report.png and docs/report-test.png: ``python docs/picture.py``.

Three models are diagnosed, two of which start badly; the first picture is what the page opens with,
the second the test of the deep one. Needs playwright, pillow and a chromium (or its path in
CHROMIUM).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.records import (
    Comparison,
    Difference,
    Entry,
    RunRecord,
    SessionRecord,
    TestRecord,
)
from pytest_initcheck.report import FORMAT, write

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 1180, 900
COLOURS = 128


def deep(depth: int = 24, width: int = 64) -> nn.Module:
    """A sigmoid in every layer, as drawn by default: what differs is lost on the way."""
    sizes = [20, *[width] * depth]
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Sigmoid())]
    return nn.Sequential(*parts, nn.Linear(width, 5))


def repaired(model: nn.Module) -> nn.Module:
    """The same model with the weights that its finding asks for."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=4)
    return model


def small(seed: int) -> nn.Module:
    """A start with which nothing is wrong."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                         nn.Linear(64, 5))  # fmt: skip


def judged(name: str, model: nn.Module, comparison: Comparison | None = None) -> TestRecord:
    """The test of a model, as it stands in a run."""
    torch.manual_seed(1)
    batch = torch.randn(256, 20), torch.randint(0, 5, (256,))
    found = diagnose(model, batch, steps=20)
    fails = found.verdict == "fail" or bool(comparison and comparison.status == "changed")
    entry = Entry(
        name="healthy",
        kind="diagnosis",
        record=found.run_record(),
        verdict=found.verdict,
        findings=tuple(found.findings),
        comparison=comparison,
    )
    outcome = "failed" if fails else "passed"
    return TestRecord(nodeid=f"tests/test_models.py::{name}", outcome=outcome, entries=(entry,))


def against(expected: RunRecord, *differences: Difference) -> Comparison:
    """A comparison of 312 values with a baseline, of which these differ."""
    return Comparison(
        status="changed" if differences else "match",
        compared=312,
        differences=differences,
        file="baselines/tests/test_models.json",
        expected=expected,
        provenance={"torch": torch.__version__.partition("+")[0], "verdict": "pass"},
    )


def session() -> SessionRecord:
    """A run in which one model cannot learn and one baseline has changed."""
    moved = Difference(
        key="before layer '2' weights.weight std",
        actual="0.1021",
        expected="0.07217",
        allowed="± 0.0034",
        excess=8.79,
    )
    drawn = replace(moved, key="before layer '0' weights.weight std", actual="0.129",
                    expected="0.617", allowed="± 0.021", excess=23.2)  # fmt: skip
    known = judged("test_head", small(3)).entries[0].record
    torch.manual_seed(0)
    healthy = judged("test_encoder", repaired(deep())).entries[0].record
    tests = (
        judged("test_encoder", deep(), against(healthy, drawn)),
        judged("test_head", small(4), against(known, moved)),
        *(judged(f"test_decoder[{size}]", small(i)) for i, size in enumerate(("small", "large"))),
    )
    return SessionRecord(FORMAT, {"torch": torch.__version__, "device": "cpu"}, tests)


def shoot(page: Page, address: str) -> None:
    """The first screen, then the test of the deep model."""
    page.goto(address)
    page.wait_for_timeout(300)
    page.screenshot(path=DOCS / "report.png")
    page.locator(".card h3 a").first.click()
    page.wait_for_timeout(500)
    page.set_viewport_size({"width": WIDTH, "height": 1500})
    box = page.locator("article.test.here").bounding_box()
    assert box is not None
    page.evaluate("top => { document.querySelector('.tools').hidden = true; scrollBy(0, top); }",
                  box["y"] - 90)  # fmt: skip
    page.wait_for_timeout(300)
    page.screenshot(path=DOCS / "report-test.png")


def shrink(path: Path) -> None:
    """Few colours: text and lines need no more."""
    with Image.open(path) as picture:
        small: Any = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = write(session(), Path(folder) / "report.html")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shoot(browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}), file.as_uri())
        browser.close()
    for name in ("report.png", "report-test.png"):
        shrink(DOCS / name)


if __name__ == "__main__":
    main()
