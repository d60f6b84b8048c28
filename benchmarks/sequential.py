"""How many seeds sequential verdicts take, and how often they are wrong, by simulation.

    python benchmarks/sequential.py [--trials 2000] [--only KIND] [--family RATE] [--runs 12]

Draws metrics over seeds (normal; Student's t with three degrees of freedom; two clusters, as where
some seeds end in another minimum), holds them against a baseline of as many seeds as the design
takes at most, without a change and with shifts of several deviations, and does the same for shares
of seeds that reach a target. Beside each the fixed design with that many seeds, by the same code.
The simulated seeds are all fresh. ``--family`` raises the error rate of an entry, so that it can be
seen at all; ``--runs`` trains a classifier as often and compares all pairs, whose weights differ
and whose data come in the same order, with their curves and layers.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import random
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from pytest_initcheck import Experiment
from pytest_initcheck.baseline import compare, freeze
from pytest_initcheck.baseline.looks import look
from pytest_initcheck.records import RunRecord
from pytest_initcheck.sequential import Sequential, Stage, share_stage
from pytest_initcheck.statistics import failing_count
from pytest_initcheck.training.runs import run_until

compare_module = importlib.import_module("pytest_initcheck.baseline.compare")
METRICS = ("accuracy", "loss", "margin")
SHIFTS = (0.0, 2.0, 3.0, 4.0, 6.0, 8.0)
SHARES = (1.0, 0.98, 0.9, 0.7, 0.5, 0.3)
Draw = Callable[[random.Random], float]


def normal(source: random.Random) -> float:
    """A standard normal value."""
    return source.gauss(0, 1)


def heavy(source: random.Random) -> float:
    """Student's t with three degrees of freedom, of unit deviation."""
    chi = sum(source.gauss(0, 1) ** 2 for _ in range(3))
    return source.gauss(0, 1) / (chi / 3) ** 0.5 / 3**0.5


def clusters(source: random.Random) -> float:
    """A quarter of the seeds lies apart; of unit deviation."""
    is_apart = source.random() < 0.25
    return source.gauss(0, 0.3) + (2.2 if is_apart else 0.0) - 0.55


KINDS: dict[str, Draw] = {"normal": normal, "t, 3 df": heavy, "two clusters": clusters}


class Outcome(NamedTuple):
    """Whether a trial was called changed (or failed), and after how many seeds."""

    is_found: bool
    seeds: int


def record(values: dict[str, list[float]], seeds: range) -> RunRecord:
    """A run of metrics alone."""
    return RunRecord(
        seeds=tuple(seeds), metrics={name: tuple(own[: len(seeds)]) for name, own in values.items()}
    )


def compared(
    draw: Draw, shift: float, design: Sequential, source: random.Random
) -> tuple[Outcome, Outcome]:
    """One run against a baseline, sequential and with all seeds; the first metric is shifted."""
    # Far from zero, so that no change is too small to count, as a share of the value, or too large.
    most = design.at_most
    drawn = [{name: [10 + draw(source) for _ in range(most)] for name in METRICS} for _ in range(2)]
    drawn[0][METRICS[0]] = [value + shift for value in drawn[0][METRICS[0]]]
    stored = freeze(record(drawn[1], range(1000, 1000 + most)))
    whole = compare(record(drawn[0], range(most)), stored).status == "changed"
    for seeds in design.looks:
        stage = Stage(design=design, seeds=seeds, stored=most)
        found = look(record(drawn[0], range(seeds)), stored, stage)
        if found.decision != "open":
            break
    return Outcome(found.decision == "changed", seeds), Outcome(whole, most)


def shared(
    share: float, design: Sequential, probability: float, source: random.Random
) -> tuple[Outcome, Outcome]:
    """One claim on a share of seeds, sequential and with all seeds."""
    most = design.at_most
    wins = [source.random() < share for _ in range(most)]
    whole = sum(wins) <= failing_count(most, probability)
    for seeds in design.looks:
        stage, count = share_stage(design, seeds, probability), sum(wins[:seeds])
        if count >= stage.holds_at or count <= stage.fails_at:
            break
    return Outcome(count <= stage.fails_at, seeds), Outcome(whole, most)


def row(title: str, pairs: list[tuple[Outcome, Outcome]]) -> str:
    """A line of the table."""
    (mine, theirs), n = zip(*pairs, strict=True), len(pairs)
    seeds = [one.seeds for one in mine]
    rates = [sum(one.is_found for one in side) / n for side in (theirs, mine)]
    cells = [
        title,
        str(theirs[0].seeds),
        *(f"{100 * rate:.2f} %" for rate in rates),
        f"{statistics.median(seeds):g}",
        f"{statistics.fmean(seeds):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def runs(count: int, design: Sequential) -> list[tuple[Outcome, Outcome]]:
    """All pairs of trainings of one classifier whose weights were drawn anew each time."""
    courses = [trained(salt, design) for salt in range(count)]
    found = []
    for mine, theirs in itertools.permutations(courses, 2):
        stored = freeze(theirs[-1])
        for own in mine:
            seeds = len(own.seeds)
            stage = Stage(design=design, seeds=seeds, stored=design.at_most)
            seen = look(own, stored, stage)
            if seen.decision != "open":
                break
        whole = compare(mine[-1], stored).status == "changed"
        found.append((Outcome(seen.decision == "changed", seeds), Outcome(whole, design.at_most)))
    return found


def trained(salt: int, design: Sequential) -> list[RunRecord]:
    """What there is of a training at every look."""
    torch.manual_seed(0)
    centres, labels = torch.randn(5, 20), torch.randint(0, 5, (400,))
    data = centres[labels] + 1.2 * torch.randn(400, 20), labels

    def model() -> nn.Module:
        torch.rand(salt)
        return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5))

    experiment = Experiment(model, data, epochs=3, validation=data,
                            optimizer=lambda p: torch.optim.SGD(p, lr=0.05))  # fmt: skip
    seen: list[RunRecord] = []
    # What appends returns nothing, which is no reason to stop.
    run_until(lambda record: bool(seen.append(record)), experiment, design, batched=True)
    return seen


def rows(trials: int, only: str, count: int) -> Iterator[str]:
    """All lines; every one has a source of its own, so that one alone can be repeated."""
    for most in (8, 16):
        design = Sequential(at_most=most)
        for kind, draw in KINDS.items():
            for shift in SHIFTS:
                title = f"{kind}, " + (f"shifted by {shift:g} sd" if shift else "unchanged")
                if only in title:
                    source = random.Random(f"{title} {most}")
                    n = trials if shift else 4 * trials
                    yield row(title, [compared(draw, shift, design, source) for _ in range(n)])
        if count:
            yield row("a classifier, weights drawn anew", runs(count, design))
        for share in SHARES:
            title = f"true share {share:g}, required .9"
            if only in title:
                source = random.Random(f"{title} {most}")
                found = [shared(share, design, 0.9, source) for _ in range(20 * trials)]
                yield row(title, found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--only", default="")
    parser.add_argument("--family", type=float, default=compare_module.FAMILY)
    parser.add_argument("--runs", type=int, default=0)
    chosen = parser.parse_args()
    compare_module.FAMILY = chosen.family
    print("| case | at most | fixed: found | sequential: found | median | mean |")
    print("|---|--:|--:|--:|--:|--:|")
    for line in rows(chosen.trials, chosen.only, chosen.runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
