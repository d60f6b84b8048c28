"""Asks one tool about every start, one JSON line each; ``rivals.py`` runs it in its environment."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import inspect
import io
import json
import logging
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[1]
# At the end, so that PYTHONPATH can point to another checkout.
sys.path += [str(ROOT), str(ROOT / "tests")]

import corpus  # noqa: E402
from corpus.case import Start  # noqa: E402
from rivals_adapters import OWN, Flag, module_of, rivals  # noqa: E402
from rivals_problem import problem  # noqa: E402
from rivals_stamp import digest  # noqa: E402

import pytest_initcheck  # noqa: E402
from pytest_initcheck.capture.program import Program  # noqa: E402

# Small models of torchvision, with a side of the image that they accept.
ZOO = {
    "resnet18": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "mobilenet_v3_large": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "mnasnet0_5": 64,
    "efficientnet_b0": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "densenet121": 64,
    "convnext_tiny": 64,
}
# So that one finding on every layer does not fill the results.
WORDS, SHOWN = 500, 400


class Overtime(BaseException):
    """No Exception, because some tools take any Exception for a finding."""


class Subject(NamedTuple):
    """A start: its group, the ids of its causes, and how a seed makes it."""

    name: str
    group: str
    causes: tuple[str, ...]
    start: Callable[[int], Any]


def subjects() -> Iterator[Subject]:
    """The faults and the healthy cases of the corpus, and the zoo; doubtful cases are left out."""
    for case in corpus.all_cases():
        fault = "fail" in case.verdicts and "pass" not in case.verdicts
        if fault or case.verdicts == {"pass"}:
            group = "faults" if fault else "healthy"
            yield Subject(case.name, group, tuple(case.causes), case.start)
    for name, side in ZOO.items():
        yield Subject(name, "zoo", (), zoo(name, side))


def zoo(name: str, side: int) -> Callable[[int], Start]:
    """A freshly initialised torchvision model on four random images."""

    def start(seed: int) -> Start:
        from torchvision import models

        torch.manual_seed(seed)
        model = models.get_model(name, weights=None)
        return Start(model, (torch.randn(4, 3, side, side), torch.randint(0, 1000, (4,))))

    return start


def asked(tool: str, build: Callable[[], Any], limit: int) -> dict[str, dict[str, Any]]:
    """The answer of each of the tool's commands, each on a start made anew."""
    answers = {}
    for name, command in rivals()[tool].commands.items():
        try:
            given = build() if tool == OWN else problem(build)
        except Exception as error:
            # Not the tool's doing, and to be put right in rivals_problem.py.
            answers[name] = {"flags": [], "broke": f"not asked: {error!r}"[:WORDS], "seconds": 0}
            continue
        answers[name] = answer(lambda: command(given), limit)  # noqa: B023
    return answers


def answer(command: Callable[[], list[Flag]], limit: int) -> dict[str, Any]:
    """What a command flags, what broke, and the seconds that it took."""
    flags: list[Flag] = []
    broke = ""
    began = time.perf_counter()
    signal.alarm(limit)
    try:
        flags = sorted(command(), key=lambda flag: flag.level)
    except Exception as error:
        broke = f"{type(error).__name__}: {' '.join(str(error).split())[:WORDS]}"
    except Overtime:
        broke = f"took more than {limit} s"
    finally:
        signal.alarm(0)
    seconds = round(time.perf_counter() - began, 3)
    shown = [(flag.rule, flag.level, flag.text[:WORDS]) for flag in flags[:SHOWN]]
    return {"flags": shown, "broke": broke, "seconds": seconds}


def stamp(tool: str) -> str:
    """Changes with whatever the answers of a tool depend on, but for the start that is asked about.

    So that none is used that is out of date: `rivals_stamp.digest` is of the start.
    """
    package = Path(pytest_initcheck.__file__).parent
    here = Path(__file__).parent
    mine = (f"rivals_adapters/{name}.py" for name in ("__init__", module_of(tool)))
    files = [Path(__file__), here / "rivals_problem.py", *(here / name for name in mine)]
    files += package.rglob("*.py") if tool == OWN else [Path(inspect.getfile(Program))]
    digest = hashlib.sha256(f"{metadata.version(tool)} {torch.__version__}".encode())
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def about(tool: str, subject: Subject, seed: int, limit: int) -> dict[str, Any]:
    """A line of the results."""
    random.seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        commands = asked(tool, lambda: subject.start(seed), limit)
    named = {"name": subject.name, "group": subject.group, "causes": subject.causes}
    return {"tool": tool, "seed": seed, **named, "commands": commands}


def answered(path: Path) -> set[tuple[str, str, int]]:
    """The starts that have an answer already, with their stamps."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return {(row["stamp"], row["name"], row["seed"]) for row in found}


def overtime(*_: Any) -> None:
    raise Overtime


def quiet() -> None:
    """Warnings and logs of the tools are no findings."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, overtime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", choices=rivals())
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=20)
    options = parser.parse_args()
    quiet()
    mark, done = stamp(options.tool), answered(options.results)
    asked_about = list(subjects())
    stamps = {s.name: f"{mark} {digest(s.start)}" for s in asked_about}
    todo = [(s, seed) for s in asked_about for seed in range(options.seeds)]
    with options.results.open("a", encoding="utf-8") as out:
        for subject, seed in todo:
            if (stamps[subject.name], subject.name, seed) not in done:
                row = about(options.tool, subject, seed, options.limit)
                out.write(json.dumps({"stamp": stamps[subject.name], **row}) + "\n")
                out.flush()
    print(json.dumps({"stamps": stamps, "version": metadata.version(options.tool)}))


if __name__ == "__main__":
    main()
