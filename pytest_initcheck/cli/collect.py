"""Collects tests in a process of its own, and writes down which there are.

Run as ``python -m pytest_initcheck.cli.collect OUT ROOT FILE …``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_initcheck.cli.project import plugin_arguments
from pytest_initcheck.plugin.markers import test_id


class Collector:
    """Counts what pytest collects."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"tests": [], "deselected": 0, "faults": []}
        self.is_complete = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self.found["faults"].append(report.nodeid)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what was collected and set aside."""
        self.found["deselected"] += len(items)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the tests."""
        self.found["tests"] = [test_id(item) for item in session.items]
        self.is_complete = True


def main(argv: Sequence[str]) -> int:
    """Collect the files, write the JSON."""
    out, root, *files = argv
    collector = Collector()
    options = [*plugin_arguments(), "--collect-only", "-q", f"--rootdir={root}"]
    code = int(pytest.main([*options, *files], plugins=[collector]))
    if collector.is_complete or collector.found["faults"]:
        Path(out).write_text(json.dumps(collector.found), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
