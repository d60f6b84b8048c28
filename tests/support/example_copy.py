"""The example project, copied to be run as a stranger would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
# One process for many copies: most of what a run takes is the import of torch.
TOGETHER = """
import contextlib, json, os, sys, pytest
for folder, *arguments in json.loads(sys.argv[1]):
    os.chdir(folder)
    with open("output.txt", "w") as output, contextlib.redirect_stdout(output):
        code = pytest.main(arguments)
    with open("output.txt", "a") as output:
        output.write(f"pytest ended with {int(code)}")
    for name in [name for name in sys.modules if name.startswith(("postcodes", "test_reader"))]:
        del sys.modules[name]
"""


class Copy:
    """A copy of the example, to be run in another process by the interpreter that runs this."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "postcodes"
        shutil.copytree(EXAMPLES, self.folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def change(self, line: str, other: str) -> None:
        file = self.folder / "postcodes" / "reader.py"
        text = file.read_text(encoding="utf-8")
        assert text.count(line) == 1
        file.write_text(text.replace(line, other), encoding="utf-8")

    def output(self) -> str:
        """What pytest printed there, and how it ended."""
        return (self.folder / "output.txt").read_text(encoding="utf-8")

    def baselines(self) -> str:
        return (self.folder / "baselines" / "tests" / "test_reader.json").read_text()


def run_together(runs: list[tuple[Copy, list[str]]], python: str = sys.executable) -> None:
    """Run pytest with these arguments in each copy, one after the other."""
    told = json.dumps([[str(copy.folder), *arguments] for copy, arguments in runs])
    done = alone(["-c", TOGETHER, told], runs[0][0].folder, python)
    assert done.returncode == 0, done.stdout + done.stderr


def alone(
    arguments: list[str], folder: Path, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    # An environment of a stranger's: no option, path or data of this session's.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "INITCHECK"))}
    kept.pop("PYTHONPATH", None)
    command = [python, *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=300
    )
