"""Which of several processes writes: the first. Nothing heavy is imported to find out."""

from __future__ import annotations

import os
import sys

# What torchrun gives to every process that it starts.
_LAUNCHED = ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID")
_seen: set[int] = set()


def is_writer() -> bool:
    """Whether this process writes baselines, reports and run.json: not where it is a later rank.

    Its rank is that of the process group, or that of torchrun where there is none yet; a group
    that a test has left again counts on, so that what it recorded is written once.
    """
    return rank_here() == 0


def rank_here() -> int:
    """The rank of this process among those of its job, 0 where it is alone."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available():
        distributed = torch.distributed
        if distributed.is_initialized():
            _seen.add(int(distributed.get_rank()))
    if _seen:
        return min(_seen)
    is_launched = all(name in os.environ for name in _LAUNCHED)
    return int(os.environ["RANK"]) if is_launched else 0
