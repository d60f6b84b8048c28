"""How whole zoos are built: what the ledger finds, and whether they start alike.

Run: ``python benchmarks/construction.py [NAME …] [--zoo timm] [--most 45] [--every N] [--first N]
[--seconds N] [--how meta …] [--no-cost]``, with zoos as in zoo.py. For each model: the findings of
`pytest_initcheck.construction`, what `assert_same_start` says of each way of ``--how`` (two builds
and a state dict where none is given), and the processor's seconds of a recorded construction, and
of one whose findings are asked for, over those of a plain one (the least of three). Nothing is
asserted; findings are to be looked at by hand, since some are faults of the library.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import torch
from torch import nn
from zoo import size_of
from zoos import Zoo, names, opened

from pytest_initcheck import InitcheckError, assert_same_start, construction
from pytest_initcheck.building.same_start import How, StartsOtherwise

HOWS: tuple[How, ...] = ("twice", "state_dict")


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


def lines(
    zoo: Zoo, name: str, hows: Sequence[How], ratios: list[float] | None
) -> Iterator[tuple[str, str]]:
    """What was found, each with the word to count it by."""
    build = factory(zoo, name)
    if build is None:
        yield "skipped", f"{name}: skipped"
        return
    torch.manual_seed(0)
    made = construction(build)
    cost = ""
    if ratios is not None:
        plain = max(seconds(build), 1e-9)
        ratios.append(seconds(lambda: construction(build)) / plain)
        judged = seconds(lambda: construction(build).findings) / plain
        cost = f" ({ratios[-1]:.2f}x, with its findings {judged:.2f}x)"
    yield made.verdict, f"{name}: {made.verdict}{cost}"
    for finding in made.findings:
        yield f"{finding.id} {finding.severity}", f"    {finding}"
    for how in hows:
        try:
            assert_same_start(build, how)
            yield f"{how} alike", ""
        except StartsOtherwise as failure:
            yield f"{how} {_kind(failure)}", f"    {failure}"
        except InitcheckError as error:
            yield f"{how} refused", f"    {error}"


def _kind(failure: StartsOtherwise) -> str:
    """The constructor alone knows how; or a method that ought to know does not."""
    return "by its constructor alone" if failure.is_constructors else "otherwise"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--zoo", choices=names(), default="torchvision")
    parser.add_argument("--most", type=int, help="millions of parameters")
    parser.add_argument("--every", type=int, default=1, help="one of so many models")
    parser.add_argument("--first", type=int, default=0, help="the place of the first of them")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no more models after that")
    parser.add_argument("--how", nargs="*", default=HOWS, choices=get_args(How))
    parser.add_argument("--no-cost", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    zoo = opened(options.zoo)
    most = zoo.most if options.most is None else options.most
    told: Counter[str] = Counter()
    ratios: list[float] = []
    end = time.monotonic() + options.seconds
    for name in (options.names or zoo.names())[options.first :: options.every]:
        if time.monotonic() > end:
            break
        try:
            if size_of(zoo, name) > most:
                told["larger"] += 1
                print(f"{name}: larger", flush=True)
                continue
            for word, line in lines(zoo, name, options.how, None if options.no_cost else ratios):
                told[word] += 1
                if line:
                    print(line, flush=True)
        except Exception as error:
            told["crashed"] += 1
            print(f"{name}: crashed ({type(error).__name__}: {str(error)[:200]})", flush=True)
    cut = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios
    print(f"{dict(told)}; cost of recording, quartiles: {[round(value, 2) for value in cut]}")


if __name__ == "__main__":
    main()
