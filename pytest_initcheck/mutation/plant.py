"""Plants a fault into every model as it comes into use, each once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from pytest_initcheck.capture.arrivals import listen
from pytest_initcheck.mutation.faults import Fault, plant


@dataclass
class Planted:
    """How many models came in, and how many of them had a place for the fault."""

    models: int = 0
    planted: int = 0
    seen: weakref.WeakSet[nn.Module] = field(default_factory=weakref.WeakSet)

    def take(self, fault: Fault, model: nn.Module) -> None:
        """Plant it, unless the model, or one that it is part of, has it already."""
        if model in self.seen:
            return
        self.seen.update(model.modules())
        if any(True for _ in model.parameters()):
            self.models += 1
            self.planted += plant(fault, model)


@contextmanager
def planted(fault: Fault) -> Iterator[Planted]:
    """Inside, every model has the fault from when it is first used.

    Used means handed to this package, or called by anyone else's code; modules that a model calls
    within its own pass are parts of it.
    """
    count, depth = Planted(), threading.local()

    def enter(model: nn.Module, _: Any) -> None:
        depth.now = getattr(depth, "now", 0) + 1
        if depth.now == 1:
            count.take(fault, model)

    def leave(*_: Any) -> None:
        depth.now -= 1

    stop = listen(lambda model: count.take(fault, model))
    handles = [
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=True),
    ]
    try:
        yield count
    finally:
        stop()
        for handle in handles:
            handle.remove()
