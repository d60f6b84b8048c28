"""Broken and hostile files through every reader: ``python benchmarks/fuzz_baselines.py [COUNT]``.

Prints, per reader, how many inputs were read, how many refused with an error of the package, the
slowest, and every input that did anything else. Exit status 1 where there is one.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_initcheck.baseline import Baselines, format, format_comparison
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ignores import parse as parse_ignores
from pytest_initcheck.records import (
    Comparison,
    Entry,
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TensorStats,
    TestRecord,
)
from pytest_initcheck.report import FORMAT, run_json
from pytest_initcheck.report.write import parse_run

LONGEST = 5.0
NODE = "suites/test_a.py::test_x[1]"
ODD = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e308", "1" * 400, "1" * 5000, "-0", "0.1"),
    *("null", "true", '""', "[]", "{}", '"nan"', '"../../x"', '"a\\u0000b"', '"\\ud800"', "5e-324"),
)
NUMBERS = ("0", "1", "-1", "3", "0.5", "1e200", "-1e200", "1.7e308", "5e-324", "64", "1e15")
PATHS = (
    *("../" * 9 + "etc/x", "/etc/x", "C:\\x", "a\0b", "\ud800", "con", "x" * 300),
    *("", ".", "..", "~", "suites/TEST_A.py", "suites/test_a"),
)
IGNORES = ("IC201 encoder.*: reason", "IC2*: later", "IC101 [0-9]: x", "IC301")


def sample() -> RunRecord:
    """A record with something of each kind."""
    values = TensorStats(
        n=64,
        mean=0.01,
        std=0.2,
        min=-0.5,
        max=0.6,
        zero_share=0.0,
        nonfinite=0,
        histogram=Histogram(-0.5, 0.6, (1, *(2,) * 31)),
        dtype="float32",
        shape=(8, 8),
    )
    odd = replace(values, histogram=Histogram(-0.5, 0.6, (20, 24, 20)), dtype="a type")
    layer = LayerRecord(
        name="fc1",
        kind="Linear",
        weights={"weight": values},
        activations=values,
        gradients={"weight": values},
        update_ratio={"weight": 0.01},
    )
    model = ModelRecord(layers=(layer,), inputs=odd, outputs=values, meta={"device": "cpu"})
    moved = replace(layer, activations=replace(values, mean=0.02), units=None)
    return RunRecord(
        seeds=(0, 1),
        curves={"loss": ((1.0, 0.5, 0.25), (1.1, 0.6, 0.2))},
        metrics={"accuracy": (0.9, 0.91)},
        before=model,
        after=replace(model, layers=(moved,), moment="after 1 step"),
    )


def mutate(text: str, rng: random.Random) -> bytes:
    """The text with one to four faults."""
    data = text.encode()
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_FAULTS)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) or 1)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :] if data else b"x"


def _cut(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:a], data[:a] + data[b:]))


def _repeat(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], lines[rng.randrange(len(lines))], *lines[at + 1 :]])


def _value(data: bytes, rng: random.Random) -> bytes:
    spans = [m.span() for m in re.finditer(rb'-?\d[\d.e+-]*|"[^"]*"|\[\]|null', data)]
    if not spans:
        return data
    start, end = rng.choice(spans)
    return data[:start] + rng.choice(ODD).encode() + data[end:]


def _number(data: bytes, rng: random.Random) -> bytes:
    # As a file may well hold them: what the reader takes has to be borne by all that follows.
    spans = [m.span() for m in re.finditer(rb"(?<=[\[ :,])-?\d[\d.e+-]*", data)]
    for start, end in sorted(rng.sample(spans, min(len(spans), rng.randint(1, 3))), reverse=True):
        data = data[:start] + rng.choice(NUMBERS).encode() + data[end:]
    return data


def _nest(data: bytes, rng: random.Random) -> bytes:
    at, depth = rng.randrange(len(data) + 1), rng.choice((50, 1_000, 100_000))
    return data[:at] + rng.choice((b"[", b'{"a":')) * depth + data[at:]


def _path(data: bytes, rng: random.Random) -> bytes:
    name = json.dumps(rng.choice(PATHS)).encode()
    return data.replace(b'"suites/test_a.py"', name).replace(b'"' + NODE.encode() + b'"', name)


_FAULTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _cut, _repeat, _value, _value, *[_number] * 6, _nest, _path),
)


@dataclass
class Tally:
    """What became of the inputs."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def hand(self, name: str, read: Callable[[], object], shown: object) -> None:
        """Hand one input to a reader; whatever it does but read or refuse is a fault."""
        began = time.perf_counter()
        try:
            read()
            self.counts[f"{name}: read"] += 1
        except InitcheckError:
            self.counts[f"{name}: refused"] += 1
        except BaseException as error:
            self.faults.append(f"{name}: {type(error).__name__}: {error}: {str(shown)[:300]}")
            if isinstance(error, KeyboardInterrupt):
                raise
        took = time.perf_counter() - began
        self.slowest = max(self.slowest, took)
        if took > LONGEST:
            self.faults.append(f"{name}: took {took:.1f} s: {str(shown)[:300]}")


class Readers:
    """Every way in which a file of somebody else comes into the package."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.folder = work / "baselines"
        record = sample()
        entry = Entry(name="run", kind="run", record=record, comparison=Comparison(status="match"))
        self.tests = (TestRecord(nodeid=NODE, entries=(entry,)),)
        Baselines(self.folder).update(self.tests, {"torch": "2.9"})
        self.file = self.folder / "suites/test_a.json"
        self.baseline = self.file.read_text(encoding="utf-8")
        self.older = format.render_long(format.parse(self.baseline, "sample"))
        other = replace(entry, record=replace(record, metrics={"accuracy": (0.9, 0.92)}))
        elsewhere = TestRecord(nodeid=NODE, entries=(other,))
        Baselines(self.folder).update([elsewhere], {"torch": "3.0"})
        self.several = self.file.read_text(encoding="utf-8")
        self.run = run_json(SessionRecord(FORMAT, {"torch": "2"}, self.tests))

    def read_baseline(self, data: bytes) -> None:
        """List, compare, tell, and update over a file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(data)
        baselines = Baselines(self.folder, self.work)
        baselines.listing()
        found = baselines.compare(NODE, "run", self.tests[0].entries[0].record)
        format_comparison(found, "run", NODE)

    def accept_run(self, data: bytes) -> None:
        """Read a run and make baselines of it, which have to be readable."""
        try:
            run = parse_run(data.decode("utf-8", "surrogateescape"))
        except UnicodeError as error:
            raise InitcheckError(str(error)) from None
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            Baselines(folder).update(run.tests, run.provenance)
            try:
                Baselines(folder).listing()
            except InitcheckError as error:
                raise AssertionError(f"what was written cannot be read: {error}") from None

    def read_ignore(self, data: bytes) -> None:
        """Read a line of the ini file."""
        parse_ignores([data.decode("utf-8", "replace")])

    def strays(self) -> list[str]:
        """What lies in the working folder beside the baselines."""
        return [path.name for path in self.work.iterdir() if path != self.folder]


def fuzz(count: int, seed: int = 0) -> Tally:
    """Hand ``count`` inputs to the readers, in turn."""
    rng, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory() as work:
        readers = Readers(Path(work))
        for i in range(count):
            name, source, read = (
                ("baseline", readers.baseline, readers.read_baseline),
                ("run.json", readers.run, readers.accept_run),
                ("ini", rng.choice(IGNORES), readers.read_ignore),
                ("baseline", readers.older, readers.read_baseline),
                ("baseline", readers.several, readers.read_baseline),
            )[(0, 1, 0, 1, 2, 4, 1, 3, 1, 2)[i % 10]]
            data = mutate(source, rng)
            tally.hand(name, lambda read=read, data=data: read(data), data)  # type: ignore[misc]
        tally.faults += [f"written outside: {name}" for name in readers.strays()]
    return tally


def main(argv: list[str]) -> int:
    """Fuzz, and print what came of it."""
    count = int(argv[0]) if argv else 100_000
    began = time.perf_counter()
    tally = fuzz(count)
    took = time.perf_counter() - began
    print(f"{count:,} inputs in {took:.0f} s, slowest {tally.slowest:.2f} s")
    with contextlib.suppress(ValueError, OSError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak memory {peak / 1024:.0f} MB")
    for name, times in sorted(tally.counts.items()):
        print(f"  {name}: {times:,}")
    print(f"{len(tally.faults)} faults")
    for fault in tally.faults[:20]:
        print(f"  {fault}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
