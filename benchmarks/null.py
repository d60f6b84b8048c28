"""How often a comparison with a baseline is wrong where nothing changed but the random numbers.

    python benchmarks/null.py [--records 60] [--runs 16] [--only MODEL]

Draws ``--records`` fresh starts (weights and data) of every model, diagnoses each, and compares
every pair; with fixed weights, too, so that the data alone are fresh. ``--runs`` records over
eight fresh seeds are trained on two problems and compared in the same way. Prints the share that
was called "changed", with its 95 % interval (Clopper and Pearson), and what fired.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterable

import torch
from null_models import MODELS, mlp_of

from pytest_initcheck import Experiment, diagnose, run
from pytest_initcheck.baseline import compare, freeze
from pytest_initcheck.records import RunRecord


def record(name: str, seed: int, weights: int | None = None) -> RunRecord:
    """The diagnosis of a fresh start; with ``weights`` only the data are fresh."""
    torch.manual_seed(seed)
    model, batch, options = MODELS[name]()
    if weights is not None:
        torch.manual_seed(weights)
        model = MODELS[name]()[0]
    return diagnose(model, batch, checks=(), **options).run_record()


def trained(seed: int) -> RunRecord:
    """Eight seeds of a small classifier on fixed data, three epochs."""
    torch.manual_seed(0)
    centres = torch.randn(5, 20)
    labels = torch.randint(0, 5, (400,))
    data = centres[labels] + 1.2 * torch.randn(400, 20), labels
    experiment = Experiment(model=lambda: mlp_of([20, 32, 5]), data=data, epochs=3, batch_size=32,
                            optimizer=lambda p: torch.optim.SGD(p, lr=0.05))  # fmt: skip
    return run(experiment, seeds=range(8 * seed, 8 * seed + 8), progress=False, batched=True)


def told(title: str, records: Iterable[RunRecord], began: float) -> tuple[int, int]:
    """Compare all pairs, print a line, and return how many were called changed, and of how many."""
    stored = [freeze(one) for one in records]
    fired: Counter[str] = Counter()
    false = count = 0
    for mine, theirs in itertools.combinations(stored, 2):
        found = compare(mine, theirs)
        count += 1
        false += found.status != "match"
        fired.update(sorted({re.sub(r"'[^']*'|\d+", "…", d.key) for d in found.differences}))
    what = "; ".join(f"{key} {n}" for key, n in fired.most_common(4))
    spent = time.process_time() - began
    print(f"{title:34} {false:5} of {count:6}  {spent:6.1f} s  {what}", flush=True)
    return false, count


def interval(false: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Clopper and Pearson, Biometrika 26, 1934)."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, false, count - false + 1)) if false else 0.0
    return low, float(beta.ppf(0.975, false + 1, count - false)) if false < count else 1.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    totals = [0, 0]
    for name in [n for n in MODELS if chosen.only in n]:
        for weights in (None, 12345):
            began = time.process_time()
            records = [record(name, seed, weights) for seed in range(chosen.records)]
            title = name if weights is None else f"{name}, fixed weights"
            totals = [x + y for x, y in zip(totals, told(title, records, began), strict=True)]
    if chosen.runs and not chosen.only:
        began = time.process_time()
        told("runs over eight seeds", [trained(s) for s in range(chosen.runs)], began)
    low, high = interval(*totals)
    print(f"diagnoses: {totals[0]} of {totals[1]} changed, 95 % interval {low:.2g} to {high:.2g}")


if __name__ == "__main__":
    main()
