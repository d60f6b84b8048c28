"""Which broken parametrisations ``assert_width_stable`` finds, false alarms on right ones, cost.

``python benchmarks/widths.py broken`` gives the share found with the layer named, ``right`` the
false alarms, ``cost`` the time against that of the steps alone.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from torch import Tensor
from torch.nn import functional
from widths_models import Variant, batch_of, broken, right

from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.sizes import scaling
from pytest_initcheck.sizes.judge_width import judge_width
from pytest_initcheck.statistics import clopper_pearson

WIDTHS = (64, 128, 256, 512)
SEEDS, STEPS = 3, 3


def judged(variant: Variant, first: int, **given: Any) -> list[str]:
    """The layers that are found to be wrong; ``given`` may replace widths, seeds and batch."""
    found = scaling(
        variant.factory,
        given.get("widths", WIDTHS),
        given.get("batch", batch_of(variant.architecture)),
        functional.cross_entropy,
        optimizer=variant.steps,
        steps=STEPS,
        seeds=given.get("seeds", range(first, first + SEEDS)),
    )
    return [f"{f.layer} {f.quantity}" for f in judge_width(found, "mup")]


def measure_broken(only: str, first: int) -> None:
    """A line per variant that is missed or named wrongly, and the share of the others."""
    named, found = Counter[bool](), Counter[bool]()
    for variant in broken():
        if only not in str(variant):
            continue
        told = judged(variant, first)
        is_named = bool(told) and all(line.split(" ")[0] == variant.layer for line in told)
        named[is_named] += 1
        found[bool(told)] += 1
        if not is_named:
            print(f"{variant}: {'; '.join(told) or 'nothing found'}")
    n = named.total()
    low, high = clopper_pearson(named[True], n)
    print(f"found {found[True]} of {n}; layer named {named[True]} of {n} ({low:.1%} to {high:.1%})")


def measure_right(only: str, sets: int, first: int) -> None:
    """False alarms over so many sets of seeds of each right model."""
    alarms = total = 0
    for variant in right():
        if only not in str(variant):
            continue
        for place in range(sets):
            told = judged(variant, 1000 + first + place * SEEDS)
            alarms, total = alarms + bool(told), total + 1
            if told:
                print(f"{variant}, seeds from {1000 + first + place * SEEDS}: {'; '.join(told)}")
    _, high = clopper_pearson(alarms, total)
    print(f"{alarms} alarms in {total} judgements of {total * SEEDS} seeds (at most {high:.1%})")


def plain(variant: Variant, widths: Sequence[int], batch: tuple[Tensor, Tensor]) -> None:
    """The same models and steps from one seed, and nothing else."""
    inputs, targets = batch
    for width in widths:
        seed_all(0)
        model = variant.factory(width)
        optimizer = variant.steps(model)
        for _ in range(STEPS):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()


def measure_cost(only: str) -> None:
    """Processor time of widths to 1,024 with 64 rows, the shortest of three, by model."""
    widths, ratios = (128, 256, 512, 1024), []
    for variant in right():
        if only not in str(variant):
            continue
        batch = batch_of(variant.architecture, 4)
        given = {"widths": widths, "batch": batch, "seeds": 1}
        alone = _seconds(lambda: plain(variant, widths, batch))  # noqa: B023
        looked = _seconds(lambda: judged(variant, 0, **given))  # noqa: B023
        ratios.append(looked / alone)
        print(f"{variant}: {alone:.2f} s alone, {looked:.2f} s measured: {ratios[-1]:.2f}")
    print(f"median {median(ratios):.2f}, largest {max(ratios):.2f}")


def _seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("broken", "right", "cost"))
    parser.add_argument("--only", default="", help="variants whose description contains this")
    parser.add_argument("--sets", type=int, default=20, help="sets of seeds of each right model")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    if arguments.what == "broken":
        measure_broken(arguments.only, arguments.first)
    elif arguments.what == "right":
        measure_right(arguments.only, arguments.sets, arguments.first)
    else:
        measure_cost(arguments.only)


if __name__ == "__main__":
    main()
