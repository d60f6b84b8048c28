"""How whole zoos are built: what the ledger finds, and whether they start alike.

Run: ``python benchmarks/construction.py [NAME …] [--zoo timm] [--most 45] [--every N]``, with zoos
as in zoo.py. For each model: the findings of `pytest_initcheck.construction` beyond "info", what
`assert_same_start` says of two builds and of a state dict, and the processor's seconds of a
recorded construction over those of a plain one (the least of three). Nothing is asserted; findings
are to be looked at by hand, since some are faults of the library.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from zoo import size_of
from zoos import Zoo, names, opened

from pytest_initcheck import InitcheckFailure, assert_same_start, construction

HOWS = ("twice", "state_dict")


def factory(zoo: Zoo, name: str) -> Callable[[], nn.Module] | None:
    """What builds the model in the first way that works."""
    for way in zoo.ways(name):
        try:
            zoo.build(name, way)
        except Exception:
            continue
        return lambda way=way: zoo.build(name, way)  # type: ignore[misc]
    return None


def seconds(work: Callable[[], Any]) -> float:
    """The processor's, the least of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def lines(zoo: Zoo, name: str, ratios: list[float]) -> Iterator[tuple[str, str]]:
    """What was found, each with the word to count it by."""
    build = factory(zoo, name)
    if build is None:
        yield "skipped", f"{name}: skipped"
        return
    torch.manual_seed(0)
    made = construction(build)
    ratios.append(seconds(lambda: construction(build)) / max(seconds(build), 1e-9))
    yield made.verdict, f"{name}: {made.verdict} ({ratios[-1]:.2f}x)"
    for finding in made.findings:
        yield f"{finding.id} {finding.severity}", f"    {finding}"
    for how in HOWS:
        try:
            assert_same_start(build, how)
        except InitcheckFailure as failure:
            yield how, f"    {failure}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--zoo", choices=names(), default="torchvision")
    parser.add_argument("--most", type=int, help="millions of parameters")
    parser.add_argument("--every", type=int, default=1, help="one of so many models")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    zoo = opened(options.zoo)
    most = zoo.most if options.most is None else options.most
    told: Counter[str] = Counter()
    ratios: list[float] = []
    for name in (options.names or zoo.names())[:: options.every]:
        if size_of(zoo, name) > most:
            continue
        try:
            for word, line in lines(zoo, name, ratios):
                told[word] += 1
                print(line, flush=True)
        except Exception as error:
            told["crashed"] += 1
            print(f"{name}: crashed ({type(error).__name__}: {str(error)[:200]})", flush=True)
    cut = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios
    print(f"{dict(told)}; cost of recording, quartiles: {[round(value, 2) for value in cut]}")


if __name__ == "__main__":
    main()
