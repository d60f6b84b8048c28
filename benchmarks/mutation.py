"""How good the tests are: small faults put into the package, one at a time, and who notices.

Run: ``python benchmarks/mutation.py [--sample 100] [--seed 0] [--results mutants.jsonl] [--limit N]
[--list] [PLACE …]``. The places are parts of the package: checks, baseline and statistics.py unless
told otherwise. A mutant is one comparison, number, condition or result of the source that is made
another; a sample of all of them is drawn, the same for the same seed. Each is written into a
scratch copy of the package; the tests of its room, and those of other rooms named after its module,
run until one fails. For a check these are the tests whose file names one of its rules, or all where
it has none, and cases of the corpus. Other tests do not run, so that the share of mutants that are
killed is a lower bound. Every test that killed one is run once without a fault, and has to pass
then. What ``--results`` holds already is not run again; a summary is printed at the end, with each
survivor.
"""

from __future__ import annotations

import argparse
import ast
import copy
import dataclasses
import functools
import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Tensors are small here. torch reads this when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_initcheck"
PLACES = ("checks", "baseline", "statistics.py")
# What a copy needs for its tests to run.
COPIED = ("pytest_initcheck", "tests", "conftest.py", "pyproject.toml")
# Loaded once; each mutant runs in a fork. The package itself must not be among them.
HEAVY = ("torch", "torch._dynamo", "torchvision", "numpy", "scipy.special", "hypothesis", "pytest")
# Cases of the corpus for one mutant: this many that name its rules, and one of so many sound ones.
PER_MODULE, SOUND = 24, 40
# Of the processor: others may use the machine. Who waits for something is given up at last, too.
SECONDS, PATIENCE = 600, 3600
OTHERS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of the source: ``was`` between two offsets of ``file`` becomes ``now``."""

    file: str
    line: int
    start: int
    end: int
    was: str
    now: str

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.file}:{self.line}: {self.was} -> {self.now} @{self.start}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: `{short(self.was)}` → `{short(self.now)}`"


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:67]}…"


# Mutants


def all_mutants(places: tuple[str, ...]) -> list[Mutant]:
    """Every mutant of some places, in the order of the source."""
    files: list[Path] = []
    for place in places:
        path = PACKAGE / place
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [mutant for path in files for mutant in in_file(path)]


def in_file(path: Path) -> Iterator[Mutant]:
    text = path.read_bytes()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree = ast.parse(text)
    conditions = set(map(id, asked(tree)))
    for node in nodes(tree):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        was = text[start:end].decode()
        negated = [f"(not ({was}))"] if id(node) in conditions else []
        for now in (one for one in [*changed(node), *negated] if one != was):
            yield Mutant(
                file=path.relative_to(PACKAGE).as_posix(),
                line=node.lineno,
                start=start,
                end=end,
                was=was,
                now=now,
            )


def nodes(tree: ast.AST) -> Iterator[Any]:
    """What can be changed: not annotations, and not f-strings, whose places Python 3.11 misses."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                if hasattr(child, "lineno"):
                    yield child
                yield from nodes(child)


def asked(tree: ast.AST) -> Iterator[ast.expr]:
    """The conditions that are neither comparisons nor made of others: names and calls."""
    for node in ast.walk(tree):
        found = [node.test] if isinstance(node, (ast.If, ast.IfExp, ast.While)) else []
        found += node.ifs if isinstance(node, ast.comprehension) else []
        for one in found:
            is_whole = isinstance(one, (ast.Name, ast.Call, ast.Attribute))
            if is_whole and ast.unparse(one) != "TYPE_CHECKING":
                yield one


def changed(node: ast.AST) -> Iterator[str]:
    """The texts that may take the place of a node."""
    match node:
        case ast.Compare():
            yield from compared(node)
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.Constant(value=float(value)):
            yield from {repr(2 * value), repr(value / 2)} if value else {"1.0"}
        case ast.UnaryOp(op=ast.Not()):
            yield f"({ast.unparse(node.operand)})"
        case ast.BoolOp():
            yield altered(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.Return(value=ast.expr()):
            yield "return None"


def compared(node: ast.Compare) -> Iterator[str]:
    for i, op in enumerate(node.ops):
        for other in OTHERS[type(op)]:
            yield altered(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def altered(node: ast.AST, **fields: Any) -> str:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return f"({ast.unparse(other)})"


# Running


class Concerned:
    """Leaves the tests that name a rule, of the corpus its cases and some sound ones."""

    def __init__(self, ids: frozenset[str]):
        self.ids = ids

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        corpus = [item for item in items if "test_verdicts" in item.nodeid]
        cases = [item for item in corpus if hasattr(item, "callspec")]
        about = [i for i in cases if self.ids & set(i.callspec.params["case"].causes)]
        sound = [i for i in cases if i.callspec.params["case"].verdicts == {"pass"}][::SOUND]
        rest = [item for item in items if item not in set(corpus)]
        paths = {item.path for item in rest}
        near = {path for path in paths if self.names(path)} or paths
        items[:] = [
            *(item for item in rest if item.path in near),
            *about[:: max(1, len(about) // PER_MODULE)],
            *sound,
        ]

    def names(self, path: Path) -> bool:
        return any(id in path.read_text(encoding="utf-8") for id in self.ids)


class FirstFailure:
    """Remembers which test failed first."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        self.pytest_runtest_logreport(report)


def tests_of(file: str) -> tuple[str, ...]:
    """Where the tests of a module lie."""
    room = file.partition("/")[0]
    if room == file:
        return (f"tests/test_{file}",)
    corpus = ("tests/corpus/test_verdicts.py",) if room == "checks" else ()
    namesakes = (ROOT / "tests").glob(f"*/test_{Path(file).stem}.py")
    elsewhere = (path for path in namesakes if path.parent.name not in (room, "corpus"))
    return (f"tests/{room}", *(str(path.relative_to(ROOT)) for path in elsewhere), *corpus)


def rules_in(file: str) -> frozenset[str]:
    """The rules that a module defines."""
    text = (PACKAGE / file).read_text(encoding="utf-8")
    return frozenset(re.findall(r'\bid="(IC\d+)"', text))


def run(scratch: Path, mutant: Mutant) -> dict[str, Any]:
    """One mutant: who killed it, empty where it survived."""
    path = scratch / "pytest_initcheck" / mutant.file
    whole = path.read_bytes()
    path.write_bytes(whole[: mutant.start] + mutant.now.encode() + whole[mutant.end :])
    began = time.monotonic()
    try:
        killer = forked(scratch, tests_of(mutant.file), rules_in(mutant.file))
    finally:
        path.write_bytes(whole)
    check_without_fault(scratch, killer)
    return {
        "key": mutant.key,
        "shown": str(mutant),
        "place": mutant.file.partition("/")[0],
        "killer": killer,
        "seconds": round(time.monotonic() - began),
    }


@functools.cache
def check_without_fault(scratch: Path, killer: str) -> None:
    """A test that fails anyway tells nothing of a mutant."""
    if "::" in killer and forked(scratch, (killer,)):
        raise SystemExit(f"{killer} fails without a fault, too: mend it first")


def forked(scratch: Path, tests: Sequence[str], ids: frozenset[str] = frozenset()) -> str:
    """The first of some tests that fails in a copy, empty where all pass."""
    answer = scratch / "killer.txt"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            in_child(scratch, tests, ids, answer)
            code = 0
        finally:
            os._exit(code)
    status = ended(child)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return "it took too long"
    return answer.read_text(encoding="utf-8") if answer.exists() else "it could not be loaded"


def ended(child: int) -> int | None:
    """How a process ended, None where it does not."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.1)
    return None


def in_child(scratch: Path, tests: Sequence[str], ids: frozenset[str], answer: Path) -> None:
    pytest = importlib.import_module("pytest")
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 60))
    os.chdir(scratch)
    with open(scratch / "output.txt", "w") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    sys.path[:0] = [str(scratch), str(scratch / "tests")]
    sys.dont_write_bytecode = True
    first = FirstFailure()
    chosen = [Concerned(ids)] if len(tests) > 1 else []
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[*chosen, first])
    answer.write_text(first.name if code == 0 or first.name else f"pytest ended with {code}")


# The whole


def summary(results: list[dict[str, Any]]) -> str:
    lines = ["| part | mutants | killed | share |", "|---|---|---|---|"]
    for place in [*sorted({one["place"] for one in results}), "all"]:
        mine = [one for one in results if place in ("all", one["place"])]
        killed = sum(bool(one["killer"]) for one in mine)
        lines.append(f"| {place} | {len(mine)} | {killed} | {killed / len(mine):.0%} |")
    survived = [f"- {one['shown']}" for one in results if not one["killer"]]
    return "\n".join([*lines, "", "Survivors:", "", *survived])


def sampled(places: tuple[str, ...], sample: int, seed: int) -> list[Mutant]:
    """A sample in random order, so that a part of it is a smaller sample."""
    found = all_mutants(places)
    return random.Random(seed).sample(found, min(sample, len(found)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="*", default=PLACES)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=10**9, help="run so many at most this time")
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument("--list", action="store_true", help="only say which they are")
    return parser.parse_args()


def stored(path: Path) -> dict[str, dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {one["key"]: one for one in map(json.loads, lines)}


def run_missing(mutants: list[Mutant], path: Path) -> None:
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in COPIED:
            copier = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copier(ROOT / name, scratch / name)
        for mutant in mutants:
            result = run(scratch, mutant)
            print(result["killer"] or "SURVIVED", mutant, result["seconds"], "s", flush=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")


def main() -> None:
    options = arguments()
    mutants = sampled(tuple(options.places), options.sample, options.seed)
    if options.list:
        print(*mutants, sep="\n")
        return
    done = stored(options.results)
    run_missing([m for m in mutants if m.key not in done][: options.limit], options.results)
    done = stored(options.results)
    print(summary([done[m.key] for m in mutants if m.key in done]))


if __name__ == "__main__":
    main()
