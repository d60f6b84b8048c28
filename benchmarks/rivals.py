"""The tools nearest to this one over the same corpus and zoo: found, false alarms, cause named.

Run: ``python benchmarks/rivals.py [--seeds 1] [--write]``. Installs each rival that can be
installed into an environment of its own, which borrows torch from the one that runs this; asks
each about every start; prints a Markdown table, and puts it into docs/rivals.md on request. What
was answered before, with the same versions, about the same start, is not asked again. Nothing is
asserted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from rivals_adapters import OWN, rivals
from rivals_causes import OF_ID, expected, main_cause, named, unmapped

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "rivals.md"
BLOCK = re.compile(r"<!-- measured -->\n.*?<!-- end -->", re.DOTALL)
HEAD = (
    "tool",
    "version",
    "faults failed",
    "… or warned of",
    "cause named",
    "healthy failed",
    "… or warned of",
    "zoo failed",
    "… or warned of",
    "broke",
    "seconds",
)
Row = dict[str, Any]


def environment(folder: Path) -> Path:
    """The interpreter of the rivals' environment, which sees this one's packages too."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs = subprocess.check_output([python, "-c", where], text=True).strip()
    ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(theirs, "borrowed.pth").write_text("\n".join(sorted(ours)) + "\n", encoding="utf-8")
    return python


def install(python: Path, name: str) -> str:
    """Install a rival; the reason where that is not possible."""
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", name]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "" if done.returncode == 0 else (lines or ["pip failed"])[-1].removeprefix("ERROR: ")


def ask(python: Path, tool: str, results: Path, options: argparse.Namespace) -> list[Row]:
    """The answers of one tool, each with its version; asks for those that are missing."""
    command = [python, HERE / "rivals_worker.py", tool, results.resolve()]
    command += ["--seeds", options.seeds, "--limit", options.limit]
    settings = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, command)), env=settings, cwd=python.parents[1], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"asking {tool} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    about = json.loads(done.stdout.splitlines()[-1])
    rows = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    wanted = [row for row in rows if row["stamp"] == about["stamps"].get(row["name"])]
    return [row | {"version": about["version"]} for row in wanted if row["seed"] < options.seeds]


def using(rows: list[Row], commands: Iterable[str]) -> list[Row]:
    """The rows with what these commands answered together."""
    return [row | _together([row["commands"][name] for name in commands]) for row in rows]


def _together(answers: list[Row]) -> Row:
    return {
        "flags": [flag for answer in answers for flag in answer["flags"]],
        "broke": next((answer["broke"] for answer in answers if answer["broke"]), ""),
        "seconds": sum(answer["seconds"] for answer in answers),
    }


def best(rows: list[Row]) -> tuple[str, ...]:
    """The commands that together serve the tool best; all of them where that is as good."""
    names = list(rows[0]["commands"])
    sizes = range(len(names), 0, -1)
    choices = [chosen for size in sizes for chosen in itertools.combinations(names, size)]
    return max(choices, key=lambda chosen: worth(using(rows, chosen)))


def worth(rows: list[Row]) -> float:
    """Share of faults failed, and of causes named, less that of healthy cases failed."""
    faults = [row for row in rows if row["group"] == "faults"]
    healthy = [row for row in rows if row["group"] == "healthy" and counts(row)]
    failed = [sum(flagged(row, ["fail"]) for row in group) for group in (faults, healthy)]
    causes = sum(judged(row) and right(row) for row in faults)
    return (failed[0] + causes) / max(len(faults), 1) - failed[1] / max(len(healthy), 1)


def flagged(row: Row, levels: Iterable[str] = ("fail", "warn")) -> bool:
    return any(level in levels for _, level, _ in row["flags"])


def counts(row: Row) -> bool:
    """A tool that broke on a sound model raised no false alarm, but has not passed it either."""
    return row["group"] == "faults" or not row["broke"] or flagged(row)


def judged(row: Row) -> bool:
    """Whether a fault was flagged whose cause the corpus states."""
    return row["group"] == "faults" and bool(row["causes"]) and flagged(row)


def right(row: Row) -> bool:
    return bool(named(row["tool"], row["flags"]) & expected(row["causes"]))


def share(rows: list[Row], is_one: Callable[[Row], bool]) -> str:
    return f"{sum(map(is_one, rows))} / {len(rows)}"


def line(rows: list[Row]) -> list[str]:
    """A tool's line of the table."""
    cells = {}
    for name in ("faults", "healthy", "zoo"):
        group = [row for row in rows if row["group"] == name and counts(row)]
        failed = share(group, lambda row: flagged(row, ["fail"]))
        cells[name] = [failed, share(group, flagged)]
    cause = share([row for row in rows if judged(row)], right)
    broke = str(sum(bool(row["broke"]) for row in rows))
    seconds = f"{sum(row['seconds'] for row in rows):.0f}"
    about = [rows[0]["tool"], rows[0]["version"]]
    return [*about, *cells["faults"], cause, *cells["healthy"], *cells["zoo"], broke, seconds]


def markdown(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    head = list(head)
    rows = [f"| {' | '.join(cells)} |" for cells in (head, *body)]
    return "\n".join([rows[0], "|" + "---|" * len(head), *rows[1:]])


def by_cause(answers: dict[str, list[Row]]) -> str:
    """How many faults of each cause a tool flags, and of how many it names the cause."""
    own = [row for row in answers[OWN] if row["group"] == "faults" and row["causes"]]
    found = []
    for cause, count in Counter(main_cause(row["causes"]) for row in own).most_common():
        cells = []
        for rows in answers.values():
            mine = [row for row in rows if judged(row) and main_cause(row["causes"]) == cause]
            cells.append(f"{len(mine)} / {sum(map(right, mine))}")
        found.append([cause, str(count), *cells])
    return markdown(["cause", "faults", *answers], found)


def broken(answers: dict[str, list[Row]]) -> list[str]:
    """Why each tool broke, with the number of starts."""
    found = []
    for tool, rows in answers.items():
        reasons = Counter(row["broke"] for row in rows if row["broke"])
        found += [f"- {tool}: {count} × `{why[:90]}`" for why, count in reasons.most_common()]
    return found


def details(answers: dict[str, list[Row]]) -> None:
    """Every start that a tool missed or flagged wrongly, and words that no pattern knows."""
    for tool, rows in answers.items():
        for row in rows:
            fault = row["group"] == "faults"
            rules = sorted({f"{level} {rule}" for rule, level, _ in row["flags"]})
            wrong = flagged(row) != fault or (judged(row) and not right(row))
            if wrong:
                print(f"{tool} | {row['group']} | {row['name']} | {row['seed']} | {rules}")
            for words in unmapped(tool, row["flags"])[:1]:
                print(f"{tool} | words without a cause | {words[:160]!r}")


def wordless(rows: list[Row]) -> list[str]:
    """Ids of causes that rivals_causes.py has no words for, so that no rival can name them."""
    ids = {one for row in rows for one in row["causes"]} - set(OF_ID)
    return [f"no words yet for {', '.join(sorted(ids))}"] if ids else []


def lines(asked: dict[str, list[Row]]) -> list[list[str]]:
    """A line per tool for its best commands, and a second one for all where those are more."""
    found = []
    for tool, rows in asked.items():
        names = tuple(rows[0]["commands"])
        chosen = best(rows)
        found.append(line(using(rows, chosen)))
        if chosen != names:
            found.append([f"{tool}, all commands", *line(using(rows, names))[1:]])
    return found


def text(asked: dict[str, list[Row]], answers: dict[str, list[Row]], missing: list[str]) -> str:
    """What docs/rivals.md holds between its marks; ``asked`` holds all commands' answers."""
    starts = Counter(row["group"] for row in asked[OWN])
    about = (
        f"{starts['faults']} starts with a fault, {starts['healthy']} healthy ones and "
        f"{starts['zoo']} models of the zoo; seeds: {len({row['seed'] for row in asked[OWN]})}; "
        f"Python {platform.python_version()}, torch {metadata.version('torch')}, one CPU thread."
    )
    used = [f"- {tool}: {', '.join(best(rows))}" for tool, rows in asked.items()]
    parts = [about, markdown(HEAD, lines(asked)), *missing]
    parts += ["The commands that were counted:", "\n".join(used)]
    parts += ["Where they broke:", "\n".join(broken(answers) or ["- nowhere"])]
    parts += ["By the first cause that a case accepts, faults flagged / cause named:"]
    return "\n\n".join([*parts, by_cause(answers)])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(tempfile.gettempdir()) / "initcheck-rivals"
    parser.add_argument(
        "tools",
        nargs="*",
        default=[name for name in rivals() if name != OWN],
        help="rivals to ask (all)",
    )
    parser.add_argument("--venv", type=Path, default=default, help=f"their environment ({default})")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=20, help="seconds for one diagnosis (20)")
    parser.add_argument("--details", action="store_true", help="list every start judged wrongly")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/rivals.md")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    python = environment(options.venv.resolve())
    asked, missing = {}, []
    for tool in (OWN, *options.tools):
        reason = "" if tool == OWN else install(python, tool)
        if reason:
            missing.append(f"{tool} cannot be installed: {reason}")
            continue
        asked[tool] = ask(python, tool, options.venv / f"{tool}.jsonl", options)
        print(f"{tool}: {len(asked[tool])} starts", file=sys.stderr, flush=True)
    answers = {tool: using(rows, best(rows)) for tool, rows in asked.items()}
    tables = text(asked, answers, missing)
    if options.details:
        details(answers)
    print(tables, *wordless(asked[OWN]), sep="\n\n")
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        block = f"<!-- measured -->\n{tables}\n<!-- end -->"
        PAGE.write_text(BLOCK.sub(lambda _: block, page), encoding="utf-8")


if __name__ == "__main__":
    main()
