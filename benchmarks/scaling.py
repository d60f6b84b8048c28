"""How the cost of a diagnosis grows with parameters, layers, operators and the batch.

    python benchmarks/scaling.py [--rounds 3] [--only batch] [--json FILE]

Each table makes one size grow and holds the others. The slope is that of the straight line through
the logarithms of size and seconds, over the larger half of the sizes: 1 is a cost in proportion.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import numpy as np
import torch
from overhead import Batch, Loop, labels
from timing import add_options, finish, quartiles, take_turns
from torch import nn

from pytest_initcheck import diagnose

Made = tuple[nn.Module, Batch]


def dense(width: int, depth: int, samples: int) -> Made:
    """Linear layers and rectifiers, all of one width."""
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, 10)), (
        torch.randn(samples, width),
        labels(samples),
    )


def parameters(size: int) -> Made:
    """Three layers with so many parameters in all."""
    return dense(max(round((size / 3) ** 0.5), 2), 3, 32)


def layers(size: int) -> Made:
    """So many layers of 32 units."""
    return dense(32, size, 32)


def operators(size: int) -> Made:
    """So many small operators between two layers."""
    return Loop(size // 2), (torch.randn(16, 8), labels(16))


def batch(size: int) -> Made:
    """So many samples through three layers of 128 units."""
    return dense(128, 3, size)


SIZES: dict[Callable[[int], Made], list[int]] = {
    parameters: [10**3, 10**4, 10**5, 10**6, 10**7, 3 * 10**7],
    layers: [4, 16, 64, 128, 256],
    operators: [250, 1000, 4000, 16000],
    batch: [64, 512, 4096, 16384],
}


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Of the straight line through the logarithms, over the larger half."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    add_options(parser)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    found: dict[str, float] = {}
    for make, sizes in SIZES.items():
        if options.only not in make.__name__:
            continue
        print(f"\n| {make.__name__} | a diagnosis |\n|---|---|")
        seconds = []
        for size in sizes:
            torch.manual_seed(0)
            model, data = make(size)
            times = take_turns({"": (lambda m=model, d=data: diagnose(m, d), 1)}, options.rounds)
            seconds.append(quartiles(times[""])[1])
            print(f"| {size:,} | {seconds[-1]:.2f} s |", flush=True)
        found[make.__name__] = slope(sizes, seconds)
        print(f"\nslope {found[make.__name__]:.2f}")
    return finish(found, options)


if __name__ == "__main__":
    sys.exit(main())
