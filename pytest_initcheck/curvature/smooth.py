"""Evaluates a model so that its gradient can be differentiated again, and without dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.eager import unfused
from pytest_initcheck.capture.modes import Arguments, Options
from pytest_initcheck.capture.observer import Observer
from pytest_initcheck.capture.trace import Tracer

_LOOKUPS = {functional.embedding, functional.embedding_bag}


class _Smooth(CompositeCalls):
    """Beside what `Quiet` does: no sparse gradients."""

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        if func in _LOOKUPS and kwargs.get("sparse"):
            kwargs = {**kwargs, "sparse": False}
        return super().called(func, args, kwargs)


@contextmanager
def smooth(model: nn.Module) -> Iterator[None]:
    """Inside, forward passes use kernels that have second derivatives.

    Attention runs in its plain form, recurrent layers gate by gate, compiled code eagerly.
    """
    # It never runs: `Quiet` tells it of functions that only an observation wants to know.
    idle = Tracer(model, Observer(_ignore, _ignore, _ignore))
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(module, nn.RNNBase) for module in model.modules()):
            stack.enter_context(unfused())
        stack.enter_context(_Smooth(idle))
        yield


def _ignore(*_: Any) -> None:
    return None
