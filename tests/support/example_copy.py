"""The example project, copied to be run as a stranger would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


class Copy:
    """A copy of the example, run in a process of its own by the interpreter that runs this."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "postcodes"
        shutil.copytree(EXAMPLES, self.folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def change(self, line: str, other: str) -> None:
        file = self.folder / "postcodes" / "reader.py"
        text = file.read_text(encoding="utf-8")
        assert text.count(line) == 1
        file.write_text(text.replace(line, other), encoding="utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return alone(["-m", "pytest", "-p", "no:cacheprovider", *arguments], self.folder)

    def output(self) -> str:
        """What a run beside others printed."""
        return (self.folder / "output.txt").read_text(encoding="utf-8")

    def baselines(self) -> str:
        return (self.folder / "baselines" / "tests" / "test_reader.json").read_text()


def alone(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # An environment of a stranger's: no option, path or data of this session's.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "INITCHECK"))}
    kept.pop("PYTHONPATH", None)
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=300
    )
