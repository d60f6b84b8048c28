"""Times of functions that take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Times = dict[str, list[float]]
# A ratio that has grown by half is a step back; less may be the machine.
WORSE = 1.5


# The processor's time is disturbed least by other programs, and adds up what threads do at once.
CLOCKS: dict[str, Callable[[], float]] = {
    "processor": time.process_time,
    "wall": time.perf_counter,
}


def seconds(function: Callable[[], object], device: str = "cpu", clock: str = "processor") -> float:
    """Of one call, by one of the `CLOCKS` on the CPU, on the wall elsewhere."""
    read = CLOCKS[clock if device == "cpu" else "wall"]
    _wait(device)
    start = read()
    function()
    _wait(device)
    return read() - start


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(
    works: Mapping[str, tuple[Callable[[], object], float]],
    rounds: int,
    device: str = "cpu",
    clock: str = "processor",
    before: Callable[[], object] = lambda: None,
) -> Times:
    """Seconds of each work in every round, after one to warm up; a work is a function that does
    so many things at once, since a single one may be shorter than the clock's noise, or a part of
    one. ``before`` is called before each, outside of the clock."""
    for function, _ in works.values():
        before()
        function()
    times: Times = {name: [] for name in works}
    for _ in range(rounds):
        gc.collect()
        for name, (function, count) in works.items():
            before()
            times[name].append(seconds(function, device, clock) / count)
    return times


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper one."""
    if len(values) == 1:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratios(times: Times, name: str, of: str) -> tuple[float, float, float]:
    """Quartiles of what ``name`` takes over what ``of`` took in the same round."""
    return quartiles([a / b for a, b in zip(times[name], times[of], strict=True)])


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--against``, for `finish`."""
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    parser.add_argument(
        "--against", type=Path, help="fail where a ratio is half as much again as in this file"
    )


def finish(found: Mapping[str, float], options: argparse.Namespace, **more: Any) -> int:
    """Write and compare the ratios that were ``found``; the exit status."""
    if options.json is not None:
        told = {"torch": torch.__version__, "ratios": dict(found), **more}
        options.json.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if options.against is None:
        return 0
    known = json.loads(options.against.read_text(encoding="utf-8"))["ratios"]
    worse = [
        f"{name}: {value:.3g}, stored {known[name]:.3g}"
        for name, value in found.items()
        if name in known and value > WORSE * known[name]
    ]
    print(
        "\n".join(["", "worse by more than half:", *worse] if worse else ["", "no ratio is worse"])
    )
    return int(bool(worse))
