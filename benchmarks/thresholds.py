"""How verdicts move with the thresholds: each one halved and doubled, over a part of the corpus.

Run: ``python benchmarks/thresholds.py [--every 6] [--per-rule 4] [--workers 2] [--write
docs/checks.md]``. The evidence of each case is measured once, with seed 0; after that only the
checks run again, with one number changed at a time. Prints a Markdown table of the numbers that
move anything; ``--write`` puts what each of them moves into its row on that page. Nothing is
asserted.

``--page docs/checks.md`` measures nothing: it brings the table of thresholds on that page up to
date, with the values as they are and a row for each number that has none yet; their meaning is
then to be filled in.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import functools
import importlib
import multiprocessing
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from unittest import mock

# Tensors are small here: processes help, threads do not. torch reads this when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from corpus import Case, all_cases  # noqa: E402
from thresholds_found import Threshold, constants, thresholds  # noqa: E402

from pytest_initcheck import InitcheckError  # noqa: E402
from pytest_initcheck.checks import Check, registered  # noqa: E402
from pytest_initcheck.evidence import Evidence  # noqa: E402
from pytest_initcheck.ignores import Ignore  # noqa: E402

# The package calls its function by the name of the module.
diagnosis = importlib.import_module("pytest_initcheck.diagnosis.diagnose")
gathering = importlib.import_module("pytest_initcheck.diagnosis.gather")
curving = importlib.import_module("pytest_initcheck.diagnosis.sharpness")
# Where a change is seen by the checks alone, since what is measured stays the same.
JUDGING = (
    "checks.",
    *(f"evidence.{name}." for name in ("construction", "gradient_flow", "loss_trajectory")),
    *(f"evidence.{name}." for name in ("signals", "stream_growth", "transmission")),
)
TABLE = re.compile(r"(<!-- thresholds -->\n)(.*?)(<!-- end thresholds -->)", re.DOTALL)
HEAD = ("threshold", "value", "decides", "from", "moves")
# Of a number that is not varied.
UNKNOWN = "–"
FACTORS = (0.5, 2.0)


def written(page: str) -> dict[str, tuple[str, str, str, str]]:
    """The rows of a page's table: value, what it decides, where it comes from, what it moves."""
    table = TABLE.search(page)
    rows = (line.strip("| ").split(" | ") for line in (table[2] if table else "").splitlines())
    return {row[0].strip("`"): tuple(row[1:]) for row in rows if row[0].startswith("`")}


def filled(page: str, moves: Mapping[str, str] | None = None) -> str:
    """The page with the values as they are, and a row for each number that had none.

    ``moves`` is what was measured of each; without it, what stands on the page stays.
    """
    known = written(page)
    lines = []
    for one in thresholds():
        new = ("", "?", one.comment or "judgement", UNKNOWN)
        _, decides, source, before = known.get(one.key, new)
        moved = before if moves is None else moves.get(one.key, UNKNOWN)
        lines.append((f"`{one.key}`", one.shown, decides, source, moved))
    text = table(HEAD, lines)
    return TABLE.sub(lambda match: f"{match[1]}{text}\n{match[3]}", page)


def table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    shown = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in shown)


def scaled(value: Any, factor: float) -> Any:
    if isinstance(value, dict):
        return {key: scaled(each, factor) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(scaled(each, factor) for each in value)
    return max(round(value * factor), 1) if isinstance(value, int) else value * factor


@contextlib.contextmanager
def changed(one: Threshold, factor: float) -> Iterator[None]:
    """With a constant scaled, in its own module and in those that import it by name.

    Also where a function of its module has it as a default.
    """
    home = sys.modules[f"pytest_initcheck.{one.module}"]
    before = vars(home)[one.name]
    places = [home, *(each for each in readers(one.name) if vars(each)[one.name] is before)]
    now = scaled(before, factor)
    kept = [(each, each.__defaults__) for each in functions_of(home)]
    try:
        for module in places:
            setattr(module, one.name, now)
        for function, defaults in kept:
            function.__defaults__ = tuple(now if d is before else d for d in defaults or ())
        yield
    finally:
        for module in places:
            setattr(module, one.name, before)
        for function, defaults in kept:
            function.__defaults__ = defaults


def functions_of(module: ModuleType) -> list[FunctionType]:
    """The functions of a module and the methods of its classes that have defaults."""
    own = [
        each for each in vars(module).values() if module.__name__ == getattr(each, "__module__", "")
    ]
    held = [*own, *(each for kind in own if isinstance(kind, type) for each in vars(kind).values())]
    return [each for each in held if isinstance(each, FunctionType) and each.__defaults__]


def readers(name: str) -> Iterator[ModuleType]:
    """The package's modules that have a name from elsewhere."""
    for key, module in list(sys.modules.items()):
        is_ours = key.startswith("pytest_initcheck.") and name in vars(module)
        if is_ours and name not in own_names(module.__file__ or ""):
            yield module


@functools.cache
def own_names(file: str) -> frozenset[str]:
    text = Path(file).read_text(encoding="utf-8")
    return frozenset(name for name, _ in constants(text))


@functools.cache
def imported(module: str) -> frozenset[str]:
    """The modules of the package that one imports, directly or through others, and itself."""
    found, pending = set[str](), [module]
    while pending:
        name = pending.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name not in found and file and name.startswith("pytest_initcheck."):
            found.add(name)
            for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    pending += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    return frozenset(found)


@functools.cache
def judging() -> list[Threshold]:
    """The constants whose change is seen without measuring anything anew.

    Not those of a user's own step, of which the corpus has none.
    """
    seen = (one for one in thresholds() if one.is_constant and one.key.startswith(JUDGING))
    return [one for one in seen if not one.key.startswith("checks.step_rules.")]


def sample(every: int, per_rule: int) -> list[Case]:
    """Every so many cases of the corpus, and of each rule's own the first few besides."""
    cases = all_cases()
    chosen = {case.name for case in cases[::every]}
    for rule in {id for case in cases for id in case.causes}:
        chosen |= {case.name for case in [c for c in cases if rule in c.causes][:per_rule]}
    return [case for case in cases if case.name in chosen]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A verdict, the rule that its first line names, and what is wrong about both."""

    verdict: str
    first: str
    wrong: str


class Kept:
    """A check that tells what it found once, as long as nothing that it reads has changed."""

    def __init__(self, check: Check) -> None:
        self.name, self.rules, self._check = check.name, check.rules, check
        self._found: list[Any] | None = None

    def run(self, evidence: Evidence) -> list[Any]:
        """What the check finds."""
        if self._found is None:
            self._found = list(self._check.run(evidence))
        return self._found

    def after(self, one: Threshold) -> Check:
        """What is to be asked when a threshold has changed: itself, or the check anew."""
        modules = imported(type(self._check).__module__)
        return self._check if f"pytest_initcheck.{one.module}" in modules else self


@dataclasses.dataclass
class Measured:
    """What a diagnosis has measured, to be judged again and again."""

    case: Case
    evidence: Evidence | None = None
    checks: list[Kept] = dataclasses.field(default_factory=list)
    ignores: Sequence[Ignore] = ()

    @classmethod
    def of(cls, case: Case) -> Measured:
        """Diagnoses the start of seed 0, and keeps what the checks are given."""
        kept = cls(case)
        judge, sort_out, sharpness = diagnosis.judge, diagnosis.sort_out, gathering.sharpness
        rise = next(one for one in thresholds() if one.key == "evidence.loss_trajectory._RISE")

        def judged(evidence: Evidence, checks: Any = None) -> Any:
            kept.evidence = evidence
            kept.checks = [Kept(check) for check in checks or registered()]
            return judge(evidence, checks)

        def sorted_out(findings: Any, ignores: Sequence[Ignore]) -> Any:
            kept.ignores = ignores
            return sort_out(findings, ignores)

        def sharpened(*asked: Any) -> float | None:
            # The curvature is asked for where the loss rises: so at half the limit, too.
            with changed(rise, min(FACTORS)):
                return sharpness(*asked)

        with contextlib.ExitStack() as stack:
            for module, name, patch in (
                (diagnosis, "judge", judged),
                (diagnosis, "sort_out", sorted_out),
                (gathering, "sharpness", sharpened),
                # σ is searched for the text of a finding only.
                (gathering, "sigma_range_of_saturated", lambda *asked: None),
            ):
                stack.enter_context(mock.patch.object(module, name, patch))
            case.diagnosis(0)
        return kept

    def outcome(self, one: Threshold | None = None) -> Outcome:
        """What the checks say now that a threshold has changed."""
        evidence = self.evidence
        assert evidence is not None
        checks = [kept if one is None else kept.after(one) for kept in self.checks]
        if not curving._is_suspicious(evidence):
            evidence = dataclasses.replace(evidence, sharpness=None)
        sorted_out = diagnosis.sort_out(diagnosis.judge(evidence, checks), self.ignores)
        found = diagnosis.Diagnosis(
            record=evidence.before, after=evidence.after, findings=sorted_out.findings, losses=()
        )
        first = found.findings[0].id if found.verdict != "pass" else ""
        wrong = self.case.wrong(found) if not self.case.known_miss(0) else ""
        return Outcome(found.verdict, first, wrong)


_cases: dict[str, Case] = {}
Outcomes = dict[tuple[str, float], Outcome]


def outcomes(name: str) -> Outcomes | str:
    """What is said of a case, by threshold and factor ("", 1: nothing changed); or why not."""
    if not _cases:
        warnings.simplefilter("ignore")
        _cases.update((case.name, case) for case in all_cases())
    try:
        measured = Measured.of(_cases[name])
    except InitcheckError as error:
        return f"{name}: {error}"
    found: Outcomes = {("", 1.0): measured.outcome()}
    for one in judging():
        for factor in FACTORS:
            with changed(one, factor):
                try:
                    found[one.key, factor] = measured.outcome(one)
                except Exception as error:
                    found[one.key, factor] = Outcome("raised", type(error).__name__, str(error))
    return found


def cells(found: Sequence[Outcomes], key: str, factor: float) -> list[int]:
    """How many verdicts move, first causes under the same verdict, and are wrong for it."""
    pairs = [(each["", 1.0], each[key, factor]) for each in found]
    verdicts = sum(now.verdict != was.verdict for was, now in pairs)
    causes = sum(now.verdict == was.verdict and now.first != was.first for was, now in pairs)
    return [verdicts, causes, sum(bool(now.wrong) and not was.wrong for was, now in pairs)]


def varied(found: Sequence[Outcomes]) -> list[Threshold]:
    """The numbers that all cases were judged with."""
    # A worker may have read other sources, where these change while it runs.
    return [one for one in judging() if all((one.key, FACTORS[0]) in each for each in found)]


def moves(found: Sequence[Outcomes]) -> dict[str, str]:
    """How many diagnoses change their verdict or first cause, halved and doubled, by number."""
    sides = {one.key: [cells(found, one.key, f) for f in FACTORS] for one in varied(found)}
    return {key: " / ".join(str(v + c) for v, c, _ in side) for key, side in sides.items()}


def report(found: Sequence[Outcomes]) -> str:
    lines = []
    for one in varied(found):
        halved, doubled = (cells(found, one.key, factor) for factor in FACTORS)
        if any((*halved, *doubled)):
            shown = (" / ".join(map(str, each)) for each in (halved, doubled))
            lines.append((f"`{one.key}`", one.shown, *shown))
    wrong = sum(bool(each["", 1.0].wrong) for each in found)
    head = ("threshold", "value", "halved: verdict / cause / wrong", "doubled: the same")
    return (
        f"{len(found)} cases, of which {wrong} are wrong with the numbers as they are; of "
        f"{len(varied(found))} numbers these {len(lines)} move anything:\n\n{table(head, lines)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=6, help="every so many cases of the corpus")
    parser.add_argument("--per-rule", type=int, default=4, help="cases of each rule besides")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, help="put what each number moves on this page")
    parser.add_argument("--page", type=Path, help="bring the table on this page up to date")
    options = parser.parse_args()
    if options.page:
        text = options.page.read_text(encoding="utf-8")
        options.page.write_text(filled(text), encoding="utf-8")
        return
    names = [case.name for case in sample(options.every, options.per_rule)]
    found: list[Outcomes] = []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for done, each in enumerate(pool.imap_unordered(outcomes, names, chunksize=4), 1):
            if isinstance(each, str):
                print(f"left out: {each}", file=sys.stderr)
            else:
                found.append(each)
            if done % 20 == 0 or done == len(names):
                print(f"{done} of {len(names)} cases", file=sys.stderr, flush=True)
    print(report(found))
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        options.write.write_text(filled(text, moves(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
