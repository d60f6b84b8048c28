"""What the report costs: its size, the processor time, and in a browser nodes and long tasks.

Run: ``python benchmarks/report.py [RUN.json ...] [--browser] [--tests 2000] [--layers 200]``.
Prints, as Markdown, a row for a deep model, for many tests, and for every stored run that is given,
beside what each is allowed. ``--browser`` opens the pages in chromium (or its path in CHROMIUM)
through playwright and times what a reader does. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.report import many_layers, many_tests  # noqa: E402

from pytest_initcheck.records import SessionRecord  # noqa: E402
from pytest_initcheck.report import read_run, render, run_json  # noqa: E402

ACTIONS = {
    "filter": "document.querySelector('.tools [data-axis=state]').click()",
    "search": "const q = document.getElementById('q'); q.value = 'layers.3 satur'; "
    "q.dispatchEvent(new Event('input'))",
    "reset": "document.getElementById('reset').click()",
    "sort": "const s = document.getElementById('sort'); s.value = 'slow'; "
    "s.dispatchEvent(new Event('change'))",
    "open all": "document.getElementById('toggle').click()",
    "scroll": "scrollBy(0, 20000)",
}
WATCH = """window.longest = 0;
new PerformanceObserver((seen) => {
  for (const task of seen.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({ type: 'longtask' });"""


class Allowed(NamedTuple):
    """What a page may cost: bytes, and seconds of processor time."""

    size: float
    seconds: float


DEEP, MANY, STORED = Allowed(700e3, 0.5), Allowed(5e6, 3.0), Allowed(1.5e6, 3.0)


def measured(session: SessionRecord) -> tuple[str, float, float]:
    """The page, the processor time that it took, and that of run.json beside it."""
    begin = time.process_time()
    page = render(session)
    middle = time.process_time()
    run_json(session)
    return page, middle - begin, time.process_time() - middle


def in_browser(page: str) -> str:
    """Nodes, first paint, and for each action how long it blocked, as a cell of the table."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(page, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        seen = browser.new_page(viewport={"width": 1280, "height": 900})
        seen.add_init_script(WATCH)
        seen.goto(file.as_uri())
        seen.wait_for_timeout(800)
        cell = "; ".join(_browsed(seen))
        browser.close()
    return cell


def _browsed(seen: Any) -> Iterator[str]:
    count = "document.querySelectorAll('*').length"
    paint = seen.evaluate("performance.getEntriesByName('first-paint')[0]?.startTime ?? 0")
    yield f"{seen.evaluate(count)} nodes, first paint {paint:.0f} ms"
    for name, action in ACTIONS.items():
        seen.evaluate("window.longest = 0")
        took = seen.evaluate(f"(() => {{ const t = performance.now(); {action}; "
                             "return performance.now() - t; })()")  # fmt: skip
        seen.wait_for_timeout(500)
        yield f"{name} {max(took, seen.evaluate('window.longest')):.0f} ms"
    yield f"then {seen.evaluate(count)} nodes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="stored runs")
    parser.add_argument("--browser", action="store_true")
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--layers", type=int, default=200)
    given = parser.parse_args()
    sessions = [
        (f"{given.layers} layers", many_layers(given.layers), DEEP),
        (f"{given.tests} tests", many_tests(given.tests), MANY),
        *((path, read_run(path), STORED) for path in given.runs),
    ]
    head = ("page", "size", "allowed", "seconds", "allowed", "run.json besides", "in the browser")
    print(f"| {' | '.join(head)} |\n{'| --- ' * len(head)}|")
    for name, session, allowed in sessions:
        page, seconds, beside = measured(session)
        cell = in_browser(page) if given.browser else "–"
        size = len(page.encode())
        print(
            f"| {name} | {size / 1e6:.2f} MB | {allowed.size / 1e6:g} MB | {seconds:.2f} s | "
            f"{allowed.seconds:g} s | {beside:.2f} s | {cell} |"
        )


if __name__ == "__main__":
    main()
