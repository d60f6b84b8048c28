"""False alarms on a healthy zoo: torchvision's classification models, freshly initialised.

Run: ``python benchmarks/zoo.py [NAME …] [--most 70] [--seed 0]``. Each model of at most so many
million parameters sees four random images of the smallest size that it accepts, with random
labels and cross-entropy. Prints a line per model and a summary; nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter

import torch
from torchvision import models

from pytest_initcheck import InitcheckError, diagnose

SIZES = (32, 64, 96, 128, 224, 299)


def size_of(name: str) -> int:
    """Millions of parameters, without allocating them where the builder can do without values."""
    try:
        with torch.device("meta"):
            model = models.get_model(name, weights=None)
    except NotImplementedError:
        model = models.get_model(name, weights=None)
    return sum(p.numel() for p in model.parameters()) // 1_000_000


def judged(name: str, seed: int):
    """The diagnosis at the smallest image size that works."""
    for side in SIZES:
        torch.manual_seed(seed)
        model = models.get_model(name, weights=None)
        batch = torch.randn(4, 3, side, side), torch.randint(0, 1000, (4,))
        try:
            return side, diagnose(model, batch)
        except InitcheckError:
            if side == SIZES[-1]:
                raise
    raise AssertionError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--most", type=int, default=70)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    verdicts = Counter()
    for name in options.names or models.list_models(models):
        if size_of(name) > options.most:
            continue
        began = time.perf_counter()
        side, diagnosis = judged(name, options.seed)
        verdicts[diagnosis.verdict] += 1
        seconds = time.perf_counter() - began
        print(f"{name}: {diagnosis.verdict} ({side}×{side}, {seconds:.0f} s)", flush=True)
        for finding in diagnosis.findings:
            print(f"    {finding}", flush=True)
    print(f"{sum(verdicts.values())} models: {dict(verdicts)}")


if __name__ == "__main__":
    main()
