"""The random streams of Python, numpy and torch: seeded together, and put back together."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator

import torch

Undo = Callable[[], object]


def seed_all(seed: int) -> None:
    """Seed Python, torch on all devices, and numpy where it is in use."""
    random.seed(seed)
    torch.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def remembered() -> Iterator[Undo]:
    """What puts each stream back to where it is now."""
    python = random.getstate()
    yield lambda: random.setstate(python)
    if "numpy" in sys.modules:
        numpy_random = sys.modules["numpy"].random
        numpy_state = numpy_random.get_state()
        yield lambda: numpy_random.set_state(numpy_state)
    cpu = torch.get_rng_state()
    yield lambda: torch.set_rng_state(cpu)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        cuda = torch.cuda.get_rng_state_all()
        yield lambda: torch.cuda.set_rng_state_all(cuda)
    if torch.backends.mps.is_available():
        mps = torch.mps.get_rng_state()
        yield lambda: torch.mps.set_rng_state(mps)


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Put all streams back at the end, come what may."""
    undo = list(remembered())
    try:
        yield
    finally:
        put_back(undo)


def put_back(undo: Iterable[Undo]) -> None:
    """Put the streams back to where they were remembered."""
    for step in undo:
        step()


def stream_positions() -> tuple[object, ...]:
    """Where the streams of Python, numpy and torch's devices are, to be compared."""
    numpy: tuple[object, ...] = ()
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        numpy = (kind, keys.tobytes(), *rest)
    devices = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        devices += torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        devices.append(torch.mps.get_rng_state())
    return random.getstate(), numpy, *(state.numpy().tobytes() for state in devices)
