"""Every number that the package judges by, found in its source."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "pytest_initcheck"
# What measures and what judges; report, baselines and trainings decide nothing about a start.
PLACES = (
    *("checks", "objective", "learning", "stepping", "dependence"),
    *("capture/uninformed_loss", "capture/nonlinearity", "capture/signal_stats"),
    *("capture/module_anomalies", "evidence", "diagnosis/sharpness", "diagnosis/sigma_range"),
)
# Numbers of another kind: the order of severities, how texts write numbers, the gains and factors
# of remedies, the steepest points of nonlinearities, the places of arguments.
NO_JUDGEMENT = (
    *("checks._RANK", "checks.causes.RANK", "stepping.judge._RANK", "checks.remedy_code."),
    "checks.prose.",
    "dependence.frozen_statistics._NORMS",
    *(f"capture.nonlinearity.{name}()" for name in ("_gelu", "_silu", "_mish", "_hardswish")),
)
# Numbers that any code has: counts of axes and operands, halves, what keeps from dividing by zero.
PLAIN = (0, 1, 2, 0.5, 1e-300, 1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold:
    """A number that the package judges by: ``name`` of a constant, or of a function, "f()".

    A constant may be several numbers, and a function hold several; ``module`` is below the
    package, ``comment`` what stands above a constant.
    """

    module: str
    name: str
    values: tuple[float, ...]
    comment: str = ""

    @property
    def key(self) -> str:
        """Its name in the table."""
        return f"{self.module}.{self.name}"

    @property
    def shown(self) -> str:
        """Its value in the table."""
        if len(self.values) > 9:
            first, last = self.values[0], self.values[-1]
            return f"{first:.4g} to {last:.4g} ({len(self.values)} values)"
        return ", ".join(f"{value:.4g}" for value in self.values)

    @property
    def is_constant(self) -> bool:
        """Whether it has a name of its own."""
        return not self.name.endswith("()")


@functools.cache
def thresholds() -> list[Threshold]:
    """Every number that is a judgement, by module and in the order of the source."""
    found: list[Threshold] = []
    for place in PLACES:
        folder = PACKAGE / place
        for path in sorted(folder.glob("*.py")) if folder.is_dir() else [PACKAGE / f"{place}.py"]:
            found += in_file(path)
    return [one for one in found if not one.key.startswith(NO_JUDGEMENT)]


def in_file(path: Path) -> Iterator[Threshold]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    text = path.read_text(encoding="utf-8")
    loaded = importlib.import_module(f"pytest_initcheck.{module}")
    for name, line in constants(text):
        values = numbers(vars(loaded).get(name))
        if values:
            comment = above(text.splitlines(), line)
            yield Threshold(module=module, name=name, values=values, comment=comment)
    for name, values in in_functions(text).items():
        yield Threshold(module=module, name=f"{name}()", values=values)


def constants(text: str) -> Iterator[tuple[str, int]]:
    """The names in capitals that a module assigns, and in which line."""
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for leaf in (leaf for target in targets for leaf in ast.walk(target)):
                if isinstance(leaf, ast.Name) and leaf.id.isupper():
                    yield leaf.id, node.lineno


def numbers(value: Any) -> tuple[float, ...]:
    """The numbers that a value is or holds."""
    if isinstance(value, (dict, tuple)):
        held = value.values() if isinstance(value, dict) else value
        return tuple(number for each in held for number in numbers(each))
    return (value,) if type(value) in (int, float) else ()


def above(lines: Sequence[str], line: int) -> str:
    """The comment over an assignment, or over the block of assignments that it is in."""
    place = line - 2
    while place >= 0 and lines[place].strip() and not lines[place].startswith("#"):
        place -= 1
    found: list[str] = []
    while place >= 0 and lines[place].startswith("#"):
        found.insert(0, lines[place].lstrip("# "))
        place -= 1
    return " ".join(found)


def in_functions(text: str) -> dict[str, tuple[float, ...]]:
    """The numbers in the code of each function: fractions, and whole numbers that it reckons with.

    Those are what is compared, added or multiplied, but for the number of axes of a tensor.
    """
    found: dict[str, tuple[float, ...]] = {}
    for name, function in functions(ast.parse(text).body):
        values: dict[float, None] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                values[node.value] = None
            elif isinstance(node, (ast.Compare, ast.BinOp)):
                values |= dict.fromkeys(whole_numbers(node))
        kept = tuple(value for value in values if value not in PLAIN)
        if kept:
            found[name] = kept
    return found


def functions(body: Sequence[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods, by their name within the module."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield within + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{within}{node.name}.")


def whole_numbers(node: ast.Compare | ast.BinOp) -> Iterator[float]:
    is_compared = isinstance(node, ast.Compare)
    sides = [node.left, *node.comparators] if is_compared else [node.left, node.right]
    text = " ".join(map(ast.unparse, sides))
    if "dim()" in text or "shape" in text or "len(" in text:
        return
    for side in sides:
        leaf = side.operand if isinstance(side, ast.UnaryOp) else side
        if isinstance(leaf, ast.Constant) and type(leaf.value) is int:
            yield leaf.value
