"""Pages in a real browser.

They need Debian's ``chromium`` (or the path in CHROMIUM) and the Python package ``playwright``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pytest_initcheck import report
from pytest_initcheck.records import SessionRecord

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
MISSING = "the browser tests need chromium and playwright (apt-get install chromium)"


def _give_up(reason: object) -> None:
    # In CI a missing browser must not look like a tested page.
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"{MISSING}: {reason}")


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        _give_up(error)
    if not Path(CHROMIUM).exists():
        _give_up(f"{CHROMIUM} does not exist")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


class Watched:
    """A page that keeps what went wrong on it and what it asked the network for."""

    def __init__(self, context, file: Path, hash: str = "") -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.faults.append(m.text))
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("dialog", lambda d: (self.faults.append(d.message), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.url = file.as_uri()
        self.page.goto(self.url + hash)

    def shown(self) -> list[str]:
        return self.page.locator("article.test h3 .name").all_inner_texts()

    def hash(self) -> str:
        return self.page.evaluate("location.hash")

    def foreign(self) -> list[str]:
        return [r for r in self.requests if not r.startswith(("data:", self.url))]

    def open_test(self, name: str) -> object:
        """Open the test of that name, with all that it holds; its article."""
        test = self.page.locator("article.test", has=self.page.get_by_text(name, exact=True))
        test.locator("summary").first.click()
        test.locator(".body").wait_for()
        self.unfold()
        return test

    def open_all(self) -> None:
        """Open everything near the window."""
        self.page.locator("#toggle").click()
        self.page.locator(".body").first.wait_for()
        self.unfold()

    def unfold(self) -> None:
        """Open what is folded, also inside of what was."""
        for _ in range(3):
            self.page.evaluate(
                """async () => {
                  for (const box of document.querySelectorAll('details')) box.open = true;
                  await new Promise((done) => setTimeout(done, 60));
                }"""
            )


@pytest.fixture
def show(browser, folder):
    contexts = []

    def show(record: SessionRecord, name: str = "page", hash: str = "", **options) -> Watched:
        options = {"viewport": {"width": 1200, "height": 900}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        file = folder / f"{name}.html"
        if not file.exists():
            report.write(record, file)
        return Watched(context, file, hash)

    yield show
    for context in contexts:
        context.close()
