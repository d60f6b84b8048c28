"""A project in a folder of its own that goes through create, pass, change, fail, accept, pass."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest


class Project:
    """A project whose tests use the plugin, in the folder of a ``pytester``."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path: Path = pytester.path

    def write(self, **files: str) -> None:
        """Write Python files, by their names without the ending: ``test_a``, ``conftest``."""
        self.pytester.makepyfile(**files)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest here, in this process."""
        from pytest_initcheck.plugin.homes import forget

        # The ini file may be another one by now.
        forget()
        with _without_bytecode():
            return self.pytester.runpytest_inprocess("-p", "no:hypothesispytest", *arguments)

    def record(self, *arguments: str) -> pytest.RunResult:
        """Store the baselines: every test has to pass."""
        return self.expect_pass("--initcheck-update", *arguments)

    def expect_pass(self, *arguments: str) -> pytest.RunResult:
        """Run; every test has to pass.

        Raises:
            AssertionError: one does not; the message is what pytest printed.
        """
        result = self.run(*arguments)
        if result.ret != pytest.ExitCode.OK:
            raise AssertionError(f"the run was to pass:\n{result.stdout.str()}")
        return result

    def expect_failure(self, *words: str, arguments: Sequence[str] = ()) -> pytest.RunResult:
        """Run; a test has to fail, and each of the words to be told.

        Raises:
            AssertionError: all pass, nothing runs, or a word is missing.
        """
        result = self.run(*arguments)
        said = result.stdout.str()
        missing = [word for word in words if word not in said]
        if result.ret != pytest.ExitCode.TESTS_FAILED or missing:
            told = f"the run was to fail, with {', '.join(map(repr, words)) or 'whatever words'}"
            raise AssertionError(f"{told}; missing: {missing}\n{said}")
        return result

    def accept(self) -> str:
        """``initcheck baselines accept``: adopt what the last run recorded; what it printed.

        Raises:
            AssertionError: the command refuses.
        """
        from pytest_initcheck.cli import main
        from pytest_initcheck.plugin.options import CACHED_RUN

        run = self.path / ".pytest_cache" / CACHED_RUN
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(["baselines", "accept", str(run), "--rootdir", str(self.path)])
        if code != 0:
            raise AssertionError(f"accept ended with {code}: {said.getvalue()}")
        return said.getvalue()

    def assert_guards(self, module: str, before: str, after: str, *words: str) -> None:
        """The tests of the project notice a change, and take it once it is accepted.

        ``before`` and ``after`` are the text of ``module`` (a file without its ending). Create,
        pass, change, fail with the words, accept, pass.

        Raises:
            AssertionError: at the first of these that does not go so.
        """
        self.write(**{module: before})
        self.expect_failure("no baseline for")
        self.record()
        self.expect_pass()
        self.write(**{module: after})
        self.expect_failure(*words)
        self.accept()
        self.expect_pass()

    def data(self, path: str = "report/run.json") -> dict[str, Any]:
        """The content of a run.json, which ``--initcheck-report=report/index.html`` writes."""
        found: dict[str, Any] = json.loads((self.path / path).read_text(encoding="utf-8"))
        return found

    def findings(self, path: str = "report/run.json") -> list[tuple[str, str]]:
        """(node id, rule id) of every finding of that run."""
        return [
            (test["nodeid"], finding["id"])
            for test in self.data(path)["tests"]
            for entry in test.get("entries", [])
            for finding in entry.get("findings", [])
        ]


@contextlib.contextmanager
def _without_bytecode() -> Iterator[None]:
    # A file that is written again within a second, as long as before, would run as it was.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


# The rooms of the package that a run without models imports. None of them imports torch.
_OF_RUNS = ("baseline", "cli", "plugin", "report", "session")


def import_runs() -> None:
    """Import now what a run of pytest and the command line import late, but for torch.

    An inner run forgets what it imports; the next one would rewrite its asserts anew.
    """
    for room in _OF_RUNS:
        package = importlib.import_module(f"pytest_initcheck.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def warm() -> None:
    """Import now what torch and matplotlib import late, and what `import_runs` does.

    An inner run forgets what it imports, and much of torch cannot be imported twice.
    """
    import matplotlib.pyplot
    import torch
    from torch import nn

    from pytest_initcheck import diagnose
    from pytest_initcheck.checks import third_party  # noqa: F401
    from pytest_initcheck.plugin.pictures import drawn

    import_runs()
    with torch.random.fork_rng(devices=[]):
        diagnose(nn.Linear(2, 2), (torch.randn(8, 2), torch.randint(0, 2, (8,))))
    figure = matplotlib.pyplot.figure()
    drawn("warm", figure)
    matplotlib.pyplot.close(figure)
