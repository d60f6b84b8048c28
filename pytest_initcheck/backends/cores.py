"""How many processors there are for this process."""

from __future__ import annotations

import os


def cores() -> int:
    """How many this process may use; of several workers of a test run, each has its share."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(found // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1), 1)
