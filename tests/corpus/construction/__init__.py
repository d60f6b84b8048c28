"""How models are built: faults of the construction, each with its repaired twin."""

from __future__ import annotations

from . import buffers, draws, memory, scales

CASES = [*memory.CASES, *draws.CASES, *scales.CASES, *buffers.CASES]
