"""``initcheck baselines noise``: how far the numbers of a test vary, with its seeds and others."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_initcheck import report as reports
from pytest_initcheck.baseline.noise_floor import Quantity, Spread, noise_floor
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.output import aligned, print_json
from pytest_initcheck.cli.project import plugin_arguments
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.plugin import reseeding
from pytest_initcheck.plugin.options import CACHED_RUN
from pytest_initcheck.records import RunRecord, SessionRecord

# Far enough apart that the seeds 0 to N of one run are none of the next.
STRIDE = 1_000_003
MOST_TENSORS = 10
_HEAD = ("what", "value", "same seeds", "tolerated", "other seeds", "tolerated", "")
_OFF = ("--initcheck-baselines=off", "--initcheck-summary=off", "--initcheck-annotations=off")


class Floor(NamedTuple):
    """What was measured of one entry of a test."""

    nodeid: str
    entry: str
    quantities: list[Quantity]


def noise(arguments: argparse.Namespace) -> int:
    """Run a test with its seeds and with others; 1 where the same seeds give other numbers."""
    same, other = _runs(arguments)
    floors = list(_floors(same, other))
    if not floors:
        raise InitcheckError(f"{arguments.test}: no two runs recorded the same entry")
    failed = [sum(map(_has_failed, runs)) for runs in (same, other)]
    every = [quantity for floor in floors for quantity in floor.quantities]
    if arguments.json:
        told = {"seeds": arguments.seeds, "failed": {"same": failed[0], "other": failed[1]}}
        print_json({**told, "entries": [_data(floor) for floor in floors]})
    else:
        print("\n".join([*_tables(floors), *_summary(every, arguments.seeds, failed)]))
    return FOUND if any(quantity.same.changed for quantity in every) else OK


def _runs(arguments: argparse.Namespace) -> tuple[list[SessionRecord], list[SessionRecord]]:
    """As many with the same seeds as with others; the first of them is in both."""
    count = arguments.seeds
    with tempfile.TemporaryDirectory() as folder:
        offsets = [*[0] * count, *(STRIDE * i for i in range(1, count))]
        runs = [
            _run(arguments, Path(folder) / str(at), offset) for at, offset in enumerate(offsets)
        ]
    return runs[:count], [runs[0], *runs[count:]]


def _run(arguments: argparse.Namespace, cache: Path, offset: int) -> SessionRecord:
    root = [] if arguments.rootdir is None else [f"--rootdir={arguments.rootdir}"]
    words = [*plugin_arguments(), "-p", reseeding.__name__, *_OFF, "-o", f"cache_dir={cache}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *root, arguments.test],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, reseeding.VARIABLE: str(offset)},
    )
    kept = cache / CACHED_RUN
    if not kept.is_file():
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InitcheckError(f"{arguments.test}: nothing was recorded: {said[-1] if said else '-'}")
    return reports.read_run(kept)


def _has_failed(run: SessionRecord) -> bool:
    return any(test.outcome not in ("passed", "xpassed") for test in run.tests)


def _floors(same: Sequence[SessionRecord], other: Sequence[SessionRecord]) -> Iterator[Floor]:
    known = [_records(runs) for runs in (same, other)]
    for nodeid, entry in dict.fromkeys(key for side in known for key in side):
        both = [side.get((nodeid, entry), []) for side in known]
        if max(map(len, both)) > 1:
            yield Floor(nodeid, entry, noise_floor(*both))


def _records(runs: Sequence[SessionRecord]) -> dict[tuple[str, str], list[RunRecord]]:
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        for test in run.tests:
            for entry in test.entries:
                found.setdefault((test.nodeid, entry.name), []).append(entry.record)
    return found


def _tables(floors: Sequence[Floor]) -> Iterator[str]:
    for floor in floors:
        yield f"{floor.nodeid}: {floor.entry!r}"
        shown, left = _shown(floor.quantities)
        yield from (f"  {line}" for line in aligned([_HEAD, *map(_row, shown)]))
        if left:
            yield f"  {left} more numbers of tensors, which move less; --json has them all"


def _summary(every: Sequence[Quantity], seeds: int, failed: Sequence[int]) -> Iterator[str]:
    for which, runs in zip(("the same seeds", "other seeds"), failed, strict=True):
        if runs:
            yield f"with {which} the test failed in {runs} of {seeds} runs"
    if not any(quantity.other.moved for quantity in every):
        yield "other seeds move nothing: the test draws nothing, or from what no seed decides"
    same = sum(bool(quantity.same.changed) for quantity in every)
    other = sum(bool(quantity.other.changed) for quantity in every)
    yield (
        f"called changed: {same} of {len(every)} numbers with the same seeds, {other} with other "
        f"seeds ({seeds} runs each)"
    )


def _shown(quantities: Sequence[Quantity]) -> tuple[list[Quantity], int]:
    tensors = [quantity for quantity in quantities if quantity.kind == "tensor"]
    others = [quantity for quantity in quantities if quantity.kind != "tensor"]
    return [*others, *tensors[:MOST_TENSORS]], len(tensors[MOST_TENSORS:])


def _row(quantity: Quantity) -> tuple[str, ...]:
    cells: list[str] = []
    for spread in (quantity.same, quantity.other):
        cells += [_share(quantity, spread.moved), _share(quantity, spread.tolerated)]
    return (quantity.name, f"{quantity.value:.4g}", *cells, _changed(quantity))


def _changed(quantity: Quantity) -> str:
    sides = (("same", quantity.same), ("other", quantity.other))
    told = [f"{s.changed} of {s.pairs} pairs with {name} seeds" for name, s in sides if s.changed]
    return f"changed: {', '.join(told)}" if told else ""


def _share(quantity: Quantity, distance: float) -> str:
    if not math.isfinite(distance):
        return "-"
    share = quantity.share(distance)
    if not quantity.unit:
        return f"{share:.2g}"
    return f"{100 * share:.2g} %" if share < 1 else f"{share:.2g}×"


def _data(floor: Floor) -> dict[str, Any]:
    told = [
        {
            "name": quantity.name,
            "kind": quantity.kind,
            "value": _finite(quantity.value),
            "unit": quantity.unit,
            "same": _spread(quantity.same),
            "other": _spread(quantity.other),
        }
        for quantity in floor.quantities
    ]
    return {"nodeid": floor.nodeid, "entry": floor.entry, "quantities": told}


def _spread(spread: Spread) -> dict[str, Any]:
    return {**spread._asdict(), "tolerated": _finite(spread.tolerated)}


def _finite(value: float) -> float | None:
    # JSON has no inf.
    return value if math.isfinite(value) else None
