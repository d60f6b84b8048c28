"""What watching a training costs: its time under ``watch(every=50)`` over its time alone.

Run on a quiet machine: ``python benchmarks/watch.py [--device cuda] [--every 50] [--rounds 15]``.
Prints one Markdown table; nothing is asserted. Each round trains for one period, alone and watched
in turn, so that a machine that slows down slows both; the first look, which is paid once, is
shown by itself. On the CPU the time of the process is taken, which other processes do not add to.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from overhead import Case, mlp, residual, transformer, wait
from torch import nn

from pytest_initcheck import watch


def seconds(function: Callable[[], object], device: str) -> float:
    """Of one call."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    wait(device)
    start = clock()
    function()
    wait(device)
    return clock() - start


def measure(case: Case, device: str, every: int, rounds: int) -> tuple[list[float], float]:
    """The ratio of each round, and what the first look takes, in steps."""
    _, model, (inputs, targets) = case
    model.to(device)
    batch = inputs.to(device), targets.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()

    def period() -> None:
        for _ in range(every):
            step()

    period()
    ratios, firsts = [], []
    for turn in range(rounds):
        alone = [] if turn % 2 else [seconds(period, device)]
        with watch(model, optimizer, every):
            first = seconds(step, device)
            for _ in range(every - 1):
                step()
            watched = seconds(period, device)
        # The two take turns at going first.
        time_alone = (alone or [seconds(period, device)])[0]
        ratios.append(watched / time_alone)
        firsts.append(first * every / time_alone - 1)
    return ratios, statistics.median(firsts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {arguments.device}\n")
    print("| a look every | median | quartiles | first look, in steps |\n|---|---|---|---|")
    for make in (mlp, residual, transformer):
        torch.manual_seed(0)
        case = make()
        ratios, first = measure(case, arguments.device, arguments.every, arguments.rounds)
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {arguments.every} steps, {case[0]} | {middle:.3f} | {low:.3f} to {high:.3f} "
            f"| {first:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
