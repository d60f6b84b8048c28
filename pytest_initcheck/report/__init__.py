"""Render one session: run.json, the self-contained page, and the terminal's lines."""

from __future__ import annotations

from pytest_initcheck.report.notebook import page_of
from pytest_initcheck.report.terminal import table, terminal_lines
from pytest_initcheck.report.write import FORMAT, PAGE_NAME, read_run, render, run_json, write

__all__ = [
    "FORMAT", "PAGE_NAME", "page_of", "read_run", "render", "run_json", "table", "terminal_lines",
    "write",
]  # fmt: skip
