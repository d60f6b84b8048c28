"""Whether a test that has a baseline is still there, judged by what was collected of its file."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

GONE, ALIVE = "gone", ""
_OUTSIDE = "its file lies outside of the rootdir, and is not there; delete the baselines by hand"
_EMPTY = "the file exists, but none of its tests can be collected here"
_VARIANT = "not collected here, but its function is (another device?); --variants deletes it"
_DEFINED = "not collected here, but its file defines a function of that name"


@dataclass
class TestFile:
    """A test file: what was collected in it, and what it defines."""

    path: Path
    is_inside: bool
    tests: frozenset[str]

    __test__ = False

    def state(self, test: str, with_variants: bool) -> str:
        """Empty for a test that is there, "gone", or why it is kept all the same."""
        if not self.path.is_file():
            return GONE if self.is_inside else _OUTSIDE
        if test in self.tests:
            return ALIVE
        if not self.tests:
            return _EMPTY
        function = _function(test)
        if function in map(_function, self.tests):
            return GONE if with_variants else _VARIANT
        return _DEFINED if function.rpartition("::")[2] in self.defined else GONE

    @cached_property
    def defined(self) -> frozenset[str]:
        """The names of all functions in the file, under whatever condition they stand."""
        try:
            tree = ast.parse(self.path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return frozenset()
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def _function(test: str) -> str:
    return test.partition("[")[0]


def states(
    root: Path, stored: Iterable[str], collected: Iterable[str], with_variants: bool = False
) -> dict[str, str]:
    """What `TestFile.state` says of each stored test; ``collected`` is all of the files' tests."""
    found: dict[str, set[str]] = {}
    for nodeid in collected:
        path, _, test = nodeid.partition("::")
        found.setdefault(path, set()).add(test)
    files: dict[str, TestFile] = {}
    said = {}
    for nodeid in stored:
        path, _, test = nodeid.partition("::")
        is_inside = not path.startswith(("..", "/"))
        tests = frozenset(found.get(path, ()))
        file = files.setdefault(path, TestFile(root / path, is_inside, tests))
        said[nodeid] = file.state(test, with_variants)
    return said
