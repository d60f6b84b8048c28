"""What watching a training costs: its time under ``watch(every=50)`` over its time alone.

Run on a quiet machine: ``python benchmarks/watch.py [--device cuda] [--every 50] [--rounds 15]``.
Prints one Markdown table; nothing is asserted. Two copies of a model train side by side, some steps
of the one and then of the other, so that a machine that slows down slows both; a round is a period
from look to look. The first look, which is paid once, is shown by itself. On the CPU the time of
the process is taken, to which other processes do not add.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
from collections.abc import Callable

import torch
from overhead import Case, mlp, residual, transformer
from timing import seconds
from torch import nn

from pytest_initcheck import watch

BLOCKS = 10


def steps_of(
    model: nn.Module, batch: tuple[torch.Tensor, ...]
) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
    """The optimiser of a training, and a function that goes on with it by so many steps."""
    inputs, targets = batch
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()

    return optimizer, train


def measure(case: Case, device: str, every: int, rounds: int) -> tuple[list[float], float]:
    """The ratio of each round, and what the first look takes, in steps."""
    _, model, (inputs, targets) = case
    model.to(device)
    batch = inputs.to(device), targets.to(device)
    optimizer, watched = steps_of(model, batch)
    _, alone = steps_of(copy.deepcopy(model), batch)
    block = max(1, every // BLOCKS)
    alone(every)
    watched(every)
    with watch(model, optimizer, block * BLOCKS):
        first = seconds(lambda: watched(1), device)
        watched(block * BLOCKS - 1)
        times = [one_round(watched, alone, block, device) for _ in range(rounds)]
    step = statistics.median(other for _, other in times) / (block * BLOCKS)
    return [mine / other for mine, other in times], first / step - 1


def one_round(
    watched: Callable[[int], None], alone: Callable[[int], None], block: int, device: str
) -> tuple[float, float]:
    """The time of a period, watched and alone."""
    pairs = [
        (seconds(lambda: watched(block), device), seconds(lambda: alone(block), device))
        for _ in range(BLOCKS)
    ]
    return sum(mine for mine, _ in pairs), sum(other for _, other in pairs)


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
