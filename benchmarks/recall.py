"""How often the diagnosis is right: the corpus of known verdicts, over seeds.

Run: ``python benchmarks/recall.py [--seeds 5]``. Prints a Markdown table and every case that came
out wrong; nothing is asserted.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corpus import all_cases


def group(case) -> str:
    """The row of the table that a case counts in."""
    if case.verdicts == {"pass"}:
        return "healthy"
    if "pass" in case.verdicts:
        return "harmless oddities"
    return "faults" if "fail" in case.verdicts else "doubtful starts"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    total, verdict, cause = Counter(), Counter(), Counter()
    for case in all_cases():
        for seed in range(seeds):
            diagnosis = case.diagnosis(seed)
            wrong = case.wrong(diagnosis)
            total[group(case)] += 1
            verdict[group(case)] += diagnosis.verdict in case.verdicts
            cause[group(case)] += not wrong
            if wrong:
                print(f"{case.name}, seed {seed}: {wrong.splitlines()[0][:200]}", flush=True)
    print("| starts | diagnoses | right verdict | and right cause and layer first |")
    print("|---|---|---|---|")
    for name in total:
        share = f"{verdict[name] / total[name]:.1%} | {cause[name] / total[name]:.1%}"
        print(f"| {name} | {total[name]} | {share} |")


if __name__ == "__main__":
    main()
