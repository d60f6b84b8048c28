"""How often the diagnosis is right: the corpus of known verdicts, over seeds.

Run: ``python benchmarks/recall.py [--seeds 5] [--only TEXT] [--every N] [--thorough]
[--no-remedies] [--out RAW.jsonl] [--measured docs/measured.json]``. Prints, as Markdown: the share
of right verdicts and causes by group, what each rule found, what the remedies that findings carry
as code achieve, and every case that came out wrong, known misses too. Rules are those of the
package and of the corpus: new ones appear by themselves. ``--thorough`` diagnoses each start a
second time, with ``thorough=True``, and shows both in the tables by group and by rule, besides what
the further steps turn right or wrong, and the time; remedies and ``--measured`` are those of the
plain diagnosis. ``--out`` keeps what was measured and goes on from there where a run was cut short;
it starts anew when the package or the corpus has changed. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Tensors are small here: processes help, threads do not. torch reads this when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from corpus import Case, all_cases  # noqa: E402

from pytest_initcheck import InitcheckError  # noqa: E402

LOUD = ("error", "warning")
BAD = ("faults", "doubtful starts")


def group(case: Case) -> str:
    """The row of the table that a case counts in."""
    if case.verdicts == {"pass"}:
        return "healthy"
    if "pass" in case.verdicts:
        return "harmless oddities"
    return "faults" if "fail" in case.verdicts else "doubtful starts"


@dataclasses.dataclass(frozen=True)
class Row:
    """One diagnosis: what the corpus wants, what was found, and what its remedies achieve.

    ``seconds`` is what the diagnosis took. ``wrong`` is empty where the verdict, the first cause
    and its layer are right. ``remedied`` is the verdict after the remedies, "raised: …" where their
    code failed, empty where there is none or none was tried; ``healed_by`` are the rules whose
    findings carried code. ``thorough`` is the same start's row with ``thorough=True``, where that
    was asked for.
    """

    case: str
    seed: int
    group: str
    missed: str
    causes: tuple[str, ...]
    verdict: str
    is_right: bool
    wrong: str
    first: str
    severities: tuple[tuple[str, str], ...]
    remedied: str
    healed_by: tuple[str, ...]
    seconds: float
    thorough: Row | None = None

    @property
    def names_the_cause(self) -> bool:
        """Whether the first line names the root cause, wherever it sees it."""
        return self.is_right and (not self.causes or self.first in self.causes)


_cases: dict[str, Case] = {}


def measured(job: tuple[str, int, bool, bool]) -> Row:
    """The diagnosis of a case and a seed, with or without a trial of its remedies, and again with
    or without further steps."""
    name, seed, with_remedies, is_thorough = job
    if not _cases:
        warnings.simplefilter("ignore")
        _cases.update((case.name, case) for case in all_cases())
    plain = row_of(_cases[name], seed, with_remedies=with_remedies)
    if not is_thorough:
        return plain
    thorough = row_of(_cases[name], seed, with_remedies=False, thorough=True)
    return dataclasses.replace(plain, thorough=thorough)


def row_of(case: Case, seed: int, *, with_remedies: bool, thorough: bool = False) -> Row:
    """One diagnosis of a case, built and judged."""
    name, began = case.name, time.perf_counter()
    start = case.start(seed)
    if thorough:
        start = dataclasses.replace(start, options={**start.options, "thorough": True})
    try:
        diagnosis = start.diagnosis()
    except InitcheckError as error:
        raise RuntimeError(f"{name}, seed {seed}: {error}") from error
    findings, seconds = diagnosis.findings, round(time.perf_counter() - began, 3)
    healed_by = tuple(dict.fromkeys(f.id for f in findings if f.remedy_code))
    is_tried = with_remedies and healed_by and diagnosis.verdict != "pass" and group(case) in BAD
    return Row(
        name,
        seed,
        group(case),
        case.known_miss(seed),
        case.causes,
        diagnosis.verdict,
        diagnosis.verdict in case.verdicts,
        case.wrong(diagnosis),
        findings[0].id if findings else "",
        tuple((finding.id, finding.severity) for finding in findings),
        remedied(diagnosis) if is_tried else "",
        healed_by,
        seconds,
    )


def remedied(diagnosis: Any) -> str:
    try:
        return diagnosis.try_remedy().verdict
    except InitcheckError as error:
        return f"raised: {str(error).splitlines()[0]}"


def fingerprint() -> str:
    """The sources that the outcome depends on, as one number."""
    files = sorted(
        [*(ROOT / "pytest_initcheck").rglob("*.py"), *(ROOT / "tests/corpus").rglob("*.py")]
    )
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def kept(path: Path | None, is_alike: dict[str, Any]) -> list[Row]:
    """The rows of an earlier run of the same sources; starts the file anew where there is none."""
    if path is None:
        return []
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if lines and json.loads(lines[0]) == is_alike:
        return [read(line) for line in lines[1:] if line.endswith("}")]
    path.write_text(json.dumps(is_alike) + "\n", encoding="utf-8")
    return []


def read(line: str) -> Row:
    return made(json.loads(line))


def made(data: dict[str, Any]) -> Row:
    data["severities"] = tuple(tuple(pair) for pair in data["severities"])
    data["thorough"] = made(data["thorough"]) if data.get("thorough") else None
    return Row(**{**data, "causes": tuple(data["causes"]), "healed_by": tuple(data["healed_by"])})


def rows(options: argparse.Namespace) -> list[Row]:
    """Every row, from the file and by two processes; progress goes to standard error."""
    wanted = [case.name for case in all_cases() if options.only in case.name][:: options.every]
    asked = options.remedies, options.thorough
    jobs = [(n, s, *asked) for s in range(options.seeds) for n in wanted]
    header = {"sources": fingerprint(), "remedies": asked[0], "thorough": asked[1]}
    found = {(row.case, row.seed): row for row in kept(options.out, header)}
    left = [job for job in jobs if job[:2] not in found]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(options.workers) as pool:
        for done, row in enumerate(pool.imap_unordered(measured, left, chunksize=8), 1):
            found[row.case, row.seed] = row
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    print(json.dumps(dataclasses.asdict(row), ensure_ascii=False), file=file)
            if done % 100 == 0 or done == len(left):
                print(f"{done} of {len(left)} diagnoses", file=sys.stderr, flush=True)
    return [found[job[:2]] for job in jobs]


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    shown = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in shown)


def share(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else "–"


def by_group(found: Sequence[Row]) -> str:
    """Right verdicts and causes, and how many errors one fault raises."""
    lines = []
    for name in dict.fromkeys(row.group for row in found):
        mine = [row for row in found if row.group == name]
        lines += group_lines(name, mine)
    head = ("starts", "diagnoses", "right verdict", "and right cause and layer first")
    return table((*head, "first line is the root cause", "errors per diagnosis that fails"), lines)


def group_lines(name: str, mine: Sequence[Row]) -> Iterator[list[object]]:
    """The line of a group, and one of its thorough diagnoses where there are any."""
    for title, rows in ((name, mine), (f"{name}, thorough", thorough_rows(mine))):
        if rows:
            yield group_line(title, rows)


def group_line(name: str, mine: Sequence[Row]) -> list[object]:
    failed = [row for row in mine if row.verdict == "fail"]
    errors = sum(kind == "error" for row in failed for _, kind in row.severities)
    line: list[object] = [name, len(mine), share(sum(row.is_right for row in mine), len(mine))]
    line += [share(sum(not row.wrong for row in mine), len(mine))]
    is_bad = mine[0].group in BAD
    line += [share(sum(row.names_the_cause for row in mine), len(mine)) if is_bad else "–"]
    return [*line, f"{errors / len(failed):.2f}" if is_bad and failed else "–"]


@dataclasses.dataclass
class Tally:
    """How one rule did. It ``explains`` the diagnoses of which it is an accepted cause, but for
    those in which another accepted cause came first."""

    first: int = 0
    explains: int = 0
    alarms: int = 0
    healed: int = 0
    tried: int = 0


def tallies(found: Sequence[Row]) -> dict[str, Tally]:
    """What each rule explains, where it was wrong, and how its remedies did, by id."""
    result: dict[str, Tally] = {}
    for row in found:
        is_bad = row.group in BAD
        for id in row.causes if is_bad else ():
            tally = result.setdefault(id, Tally())
            tally.first += row.first == id
            tally.explains += row.first == id or not row.names_the_cause
        for id, kind in dict(row.severities).items() if row.group == "healthy" else ():
            result.setdefault(id, Tally()).alarms += kind in LOUD
        for id in row.healed_by if row.remedied else ():
            tally = result.setdefault(id, Tally())
            tally.tried += 1
            tally.healed += row.remedied == "pass"
    return dict(sorted(result.items()))


def by_rule(found: Sequence[Row]) -> str:
    sides = [tallies(found)]
    head = ["rule", "first, of the diagnoses that it explains", "alarms on healthy"]
    if thorough := thorough_rows(found):
        sides.append(tallies(thorough))
        head += ["first, thorough", "alarms, thorough"]
    lines = []
    for id in sorted(set().union(*sides)):
        mine = [side.get(id, Tally()) for side in sides]
        cells = ((f"{tally.first} of {tally.explains}", tally.alarms) for tally in mine)
        lines.append([id, *(cell for pair in cells for cell in pair)])
    return table(head, lines)


def thorough_rows(found: Iterable[Row]) -> list[Row]:
    """The rows of the thorough diagnoses, where there are any."""
    return [row.thorough for row in found if row.thorough is not None]


def by_remedy(found: Sequence[Row]) -> str:
    tried = [row for row in found if row.remedied]
    lines = [(id, t.healed, t.tried) for id, t in tallies(found).items() if t.tried]
    lines.append(("all", sum(row.remedied == "pass" for row in tried), len(tried)))
    shown = ((id, f"{share(healed, of)} ({healed} of {of})") for id, healed, of in lines)
    return table(("remedy of", "turns to pass"), shown)


def sentences(found: Sequence[Row]) -> dict[str, str]:
    """One short sentence for each rule that the corpus knows, for its documentation."""
    healthy = sum(row.group == "healthy" for row in found)
    result = {}
    for id, tally in tallies(found).items():
        alarms = (
            f"{tally.alarms or 'no'} alarm{'s' * (tally.alarms > 1)} in {healthy:,} healthy ones"
        )
        first = f"first in {tally.first:,} of {tally.explains:,} diagnoses that it explains"
        result[id] = f"on the corpus: {first * bool(tally.explains)}, {alarms}".replace(" , ", " ")
        if tally.tried:
            result[id] += f"; with its remedy {tally.healed:,} of {tally.tried:,} pass"
    return result


def complaints(found: Sequence[Row]) -> Iterator[str]:
    """A line for each diagnosis that is wrong, and for each remedy that does not help."""
    wrong: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        if row.wrong:
            wrong.setdefault((row.case, row.missed), []).append(row)
    for (case, missed), mine in wrong.items():
        seeds = "seed" + "s" * (len(mine) > 1) + " " + ", ".join(str(row.seed) for row in mine)
        known = f" (known: {missed})" if missed else ""
        yield f"- wrong: {case}, {seeds}{known}: {mine[0].wrong.splitlines()[0][:200]}"
    unhelped = Counter(
        (row.case, ", ".join(row.healed_by), row.remedied)
        for row in found
        if row.remedied not in ("", "pass")
    )
    for (case, ids, verdict), count in unhelped.items():
        yield f"- not healed: {case} ({ids}): {verdict} with {count} seed{'s' * (count > 1)}"


def by_thoroughness(found: Sequence[Row]) -> str:
    """What the further steps of thorough diagnoses change, and the time that they take."""
    pairs = [(row, row.thorough) for row in found if row.thorough is not None]
    right = [(row, now) for row, now in pairs if row.wrong and not now.wrong]
    wrong = [(row, now) for row, now in pairs if now.wrong and not row.wrong]
    head = ("diagnoses", "turned right by further steps", "turned wrong", "seconds", "thorough")
    times = (f"{sum(row.seconds for row in side):.0f}" for side in zip(*pairs, strict=True))
    parts = [table(head, [(len(pairs), len(right), len(wrong), *times)])]
    for verb, moved in (("right", right), ("wrong", wrong)):
        for row, now in moved:
            told = f"{said(row)}, then {said(now)}"
            parts.append(f"- turned {verb}: {row.case}, seed {row.seed}: {told}")
    return "\n".join([*parts[:1], "", *parts[1:]]).strip()


def said(row: Row) -> str:
    return f"{row.verdict} {row.first}".strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 up")
    parser.add_argument("--only", default="", help="cases with this text in their name")
    parser.add_argument("--every", type=int, default=1, help="one of so many cases")
    parser.add_argument(
        "--thorough", action="store_true", help="diagnose with further steps, too, and show both"
    )
    parser.add_argument(
        "--no-remedies", dest="remedies", action="store_false", help="do not try remedies"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file of raw results, a JSON object per line")
    parser.add_argument("--measured", type=Path, help="file of a sentence per rule, for the docs")
    options = parser.parse_args()
    found = rows(options)
    parts = [by_group(found), by_rule(found)]
    if options.remedies:
        parts.append(by_remedy(found))
    if options.thorough:
        parts.append(by_thoroughness(found))
    print("\n\n".join([*parts, "\n".join(complaints(found))]))
    if options.measured:
        text = json.dumps(sentences(found), indent=1, ensure_ascii=False)
        options.measured.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
