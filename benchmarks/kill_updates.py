"""Updates that are killed, interrupted, crowded or refused: ``kill_updates.py [TRIALS]``.

Each trial starts from stored baselines, disturbs one or two updates of them, and runs a last one.
Lost is an entry that was stored before and is not there, a file that cannot be read, or an entry of
an update that said it was done; stray is a file that is no baseline. Exit status 1 on either.
"""

from __future__ import annotations

import functools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Entry, RunRecord, TestRecord

FILES, TESTS = 8, 6
_UPDATE = "import sys; from benchmarks.kill_updates import {0} as update; update(*sys.argv[1:])"


def records(who: str, value: float) -> list[TestRecord]:
    """Some tests in each of some files, all of one value."""
    record = RunRecord(metrics={f"m{i}": (value + i,) for i in range(40)})
    entries = (Entry(name="e", kind="metrics", record=record),)
    return [
        TestRecord(nodeid=f"s{f % 3}/test_{f}.py::{who}_{t}", entries=entries)
        for f in range(FILES)
        for t in range(TESTS)
    ]


def update(folder: str, who: str, value: str, most_bytes: str = "") -> None:
    """One session's update; says when it starts and when it is done."""
    if most_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
    tests = records(who, float(value))
    print("ready", flush=True)
    Baselines(folder).update(tests, {})
    print("done", flush=True)


def update_as_nobody(folder: str, who: str, value: str) -> None:
    """The same by a user whom a folder can be read-only to, which none is to root."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    update(folder, who, value)


def started(
    folder: Path, who: str, value: float, *more: str, by: str = "update"
) -> subprocess.Popen[str]:
    """A session in a process of its own, just before it writes."""
    words = [sys.executable, "-c", _UPDATE.format(by), str(folder), who, str(value), *more]
    session = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert session.stdout is not None
    session.stdout.readline()
    return session


def is_done(session: subprocess.Popen[str]) -> bool:
    """Whether the session said that all is written; waits for its end."""
    return "done" in session.communicate(timeout=60)[0]


@functools.cache
def _span() -> float:
    """How long an update takes here, from just before it."""
    with tempfile.TemporaryDirectory() as work:
        Baselines(work).update(records("old", 1.0), {})
        session = started(Path(work), "new", 2.0)
        began = time.perf_counter()
        assert is_done(session)
        return time.perf_counter() - began


def killed(folder: Path, rng: random.Random, number: int = signal.SIGKILL) -> set[str]:
    """An update that ends by a signal at some moment; who has to be there whole."""
    session = started(folder, "new", rng.random())
    # Records are prepared first; files are written in the last part.
    time.sleep(_span() * rng.uniform(0.3, 1.05))
    session.send_signal(number)
    return {"new"} if is_done(session) else set()


def interrupted(folder: Path, rng: random.Random) -> set[str]:
    """The same by an interrupt from the keyboard, after which no file may be half of the update."""
    done = killed(folder, rng, signal.SIGINT)
    held = [bool(names(file, "new")) for file in Baselines(folder).files()]
    return done | ({"half an update"} if any(held) and not all(held) else set())


def crowded(folder: Path, rng: random.Random) -> set[str]:
    """Two or three sessions at once; all have to be there."""
    whos = ["new", "other", "third"][: rng.randint(2, 3)]
    sessions = [started(folder, who, rng.random()) for who in whos]
    return {who for who, session in zip(whos, sessions, strict=True) if is_done(session)}


def read_only(folder: Path, rng: random.Random) -> set[str]:
    """A folder in which nothing can be written, among others in which all can."""
    for each in (folder.parent, folder, *folder.iterdir()):
        each.chmod(0o777)
    (folder / "s1").chmod(0o555)
    done = is_done(started(folder, "new", rng.random(), by="update_as_nobody"))
    return {"an update of what is read-only"} if done else set()


def full(folder: Path, rng: random.Random) -> set[str]:
    """A disk that takes only so much of a file."""
    size = str(rng.randint(0, 9_000))
    return {"new"} if is_done(started(folder, "new", rng.random(), size)) else set()


TRIALS: tuple[Callable[[Path, random.Random], set[str]], ...] = (
    *(killed, killed, killed, interrupted, interrupted, crowded, read_only, full),
)


def names(file: Path, who: str) -> list[str]:
    """The tests of one session in a file."""
    tests = json.loads(file.read_text(encoding="utf-8"))["tests"]
    return [name for name in tests if name.startswith(who + "_")]


def trial(
    disturb: Callable[[Path, random.Random], set[str]], rng: random.Random, seen: Counter[str]
) -> list[str]:
    """What is wrong after one trial; ``seen`` counts where the disturbance fell."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "baselines")
        Baselines(folder).update(records("old", 1.0), {})
        there = {"old", *disturb(folder, rng)}
        faults = _missing(folder, there)
        seen["finished all the same"] += len(there) > 1
        seen["left temporary files until the next run"] += bool(_strays(Path(work)))
        Baselines(folder).update(records("last", 3.0)[:1], {})
        return faults + [f"stray {name}" for name in _strays(Path(work))]


def _strays(work: Path) -> list[str]:
    return [path.name for path in work.rglob("*") if path.is_file() and path.suffix != ".json"]


def _missing(folder: Path, whos: set[str]) -> list[str]:
    try:
        listed = Counter(
            one.nodeid.partition("::")[2].split("_")[0] for one in Baselines(folder).listing()
        )
    except InitcheckError as error:
        return [f"unreadable: {error}"]
    return [f"lost {who}: {listed[who]}" for who in sorted(whos) if listed[who] != FILES * TESTS]


def main(argv: list[str]) -> int:
    """Run the trials in turn, and print what each kind lost."""
    count, rng = int(argv[0]) if argv else 240, random.Random(0)
    done: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    faults: list[str] = []
    for i in range(count):
        disturb = TRIALS[i % len(TRIALS)]
        found = trial(disturb, rng, seen)
        done[disturb.__name__] += 1
        faults += [f"{disturb.__name__}: {fault}" for fault in found]
    print(f"{count} trials: {', '.join(f'{n} {kind}' for kind, n in done.items())}")
    print(f"an update takes {1000 * _span():.0f} ms")
    print(f"of these {', '.join(f'{n} {what}' for what, n in seen.items())}")
    print(f"{len(faults)} faults")
    for fault in faults[:20]:
        print(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
