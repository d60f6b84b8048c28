"""Whether a process that is forked from this one can go backward."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings

import torch

# Of a child that only goes through one operator, which takes milliseconds.
_PATIENCE = 10.0


def survives_fork() -> bool:
    """Whether autograd works in a forked child; asked of one, for a few milliseconds.

    It does not where autograd has threads for devices in this process: that of an accelerator, or
    the ones that torch.compile and fake tensors pretend to have.
    """
    if not sys.platform.startswith("linux"):
        return False
    with warnings.catch_warnings():
        # Of threads in the parent: what is asked is how they take it.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _go_backward()
    return _ended_well(child)


def _go_backward() -> None:
    status = 1
    try:
        torch.ones(1, requires_grad=True).sum().backward()
        status = 0
    finally:
        os._exit(status)


def _ended_well(child: int) -> bool:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        known, status = os.waitpid(child, os.WNOHANG)
        if known:
            return status == 0
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False
