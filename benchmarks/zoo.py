"""False alarms on healthy zoos: models of torchvision, timm and transformers, freshly initialised.

Run: ``python benchmarks/zoo.py [NAME …] [--zoo timm] [--most 45] [--seed 0] [--every N]
[--thorough]``, where ``--most`` is in millions of parameters, the zoo is torchvision unless told
otherwise, and ``--every`` takes one of so many models. Image models see
four random images of the smallest size that they accept, with random labels and cross-entropy;
transformers are built from shrunken default configurations and see random tokens, images or
sounds with their own loss. Prints a line per model and a summary, with how often each rule was
raised; nothing is asserted. A model that cannot be built so is "skipped",
one on which the diagnosis itself raises "crashed".
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from zoos import Zoo, names, opened

from pytest_initcheck import InitcheckError, diagnose
from pytest_initcheck.diagnosis import Diagnosis


def size_of(zoo: Zoo, name: str) -> int:
    """Millions of parameters, without allocating them where the builder can do without values.

    0 where nothing can be built: `judged` tells why.
    """
    way = zoo.ways(name)[-1]
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                model = zoo.build(name, way)
        except Exception:
            continue
        return sum(p.numel() for p in model.parameters()) // 1_000_000
    return 0


def judged(zoo: Zoo, name: str, seed: int, *, thorough: bool = False) -> tuple[Any, Diagnosis]:
    """The first way that works, and the diagnosis; what the last one raised where none does."""
    for way in zoo.ways(name):
        torch.manual_seed(seed)
        try:
            model = zoo.build(name, way)
            batch = zoo.batch(model, name, way)
        except Exception as error:
            # Each library has errors of its own for a size or a configuration that it refuses.
            refusal = error
            continue
        try:
            return way, diagnose(model, batch, thorough=thorough)
        except InitcheckError as error:
            refusal = error
    raise InitcheckError(f"{type(refusal).__name__}: {refusal}") from refusal


def lines(
    zoo: Zoo, name: str, most: int, seed: int, *, thorough: bool = False
) -> Iterator[tuple[str, str]]:
    """The verdict with the line that states it, then one line for each finding, with its id."""
    began = time.perf_counter()
    try:
        if size_of(zoo, name) > most:
            return
        way, diagnosis = judged(zoo, name, seed, thorough=thorough)
    except InitcheckError as error:
        yield "skipped", f"{name}: skipped ({str(error)[:120]})"
        return
    except Exception as error:
        yield "crashed", f"{name}: crashed ({type(error).__name__}: {str(error)[:120]})"
        return
    side = way[0] if isinstance(way, tuple) else way
    shape = f"{side}×{side}, " if side else ""
    seconds = time.perf_counter() - began
    yield diagnosis.verdict, f"{name}: {diagnosis.verdict} ({shape}{seconds:.0f} s)"
    if diagnosis.learning is not None:
        yield "", f"    {diagnosis.learning}"
    for finding in diagnosis.findings:
        loud = finding.id if finding.severity != "info" else ""
        yield loud, f"    {finding}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--zoo", choices=names(), default="torchvision")
    parser.add_argument("--most", type=int, help="millions of parameters")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="one of so many models")
    parser.add_argument("--thorough", action="store_true", help="ask whether each fits its batch")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    zoo = opened(options.zoo)
    most = zoo.most if options.most is None else options.most
    told: Counter[str] = Counter()
    for name in (options.names or zoo.names())[:: options.every]:
        for word, line in lines(zoo, name, most, options.seed, thorough=options.thorough):
            told[word] += bool(word)
            print(line, flush=True)
    verdicts = {word: count for word, count in told.items() if count and not word.startswith("IC")}
    rules = {word: count for word, count in sorted(told.items()) if word.startswith("IC")}
    print(f"{sum(verdicts.values())} models: {verdicts}; findings by rule: {rules}")


if __name__ == "__main__":
    main()
