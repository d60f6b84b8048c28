"""A pass that is measured at its modules alone, where the first pass showed that these are all."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.anchors import Anchor, Anchors
from pytest_initcheck.capture.module_hooks import hook_of
from pytest_initcheck.capture.observer import Observer


class Attached:
    """Tells an observer what a tracer would, by hooks on the modules that make it.

    Every call of a module is taken for what the call in the same place was in the first pass, and
    further ones for the last of these. What runs beside the modules costs nothing.
    """

    def __init__(self, anchors: Anchors, observer: Observer) -> None:
        self._anchors, self._observer = anchors, observer

    def hook_gradient(self, tensor: Tensor, hook: Callable[[Tensor], None]) -> None:
        """Call ``hook`` with the gradient of a tensor that a module has just made."""
        if tensor.requires_grad:
            tensor.register_hook(functools.partial(_hand_over, hook))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Observe the forward pass that runs inside."""
        with ExitStack() as stack:
            for module, anchors in self._anchors.of.items():
                if not all(map(self._is_told, anchors)):
                    calls = _Calls(anchors, self._observer, self._is_told)
                    for handle in calls.hooks(module):
                        stack.callback(handle.remove)
            yield

    def _is_told(self, anchor: Anchor) -> bool:
        return anchor.event.nonlinearity is not None and self._observer.is_told(anchor.node)


class _Calls:
    """The calls of one module, one after the other."""

    def __init__(
        self, anchors: Sequence[Anchor], observer: Observer, is_told: Callable[[Anchor], bool]
    ) -> None:
        self._anchors = itertools.chain(anchors, itertools.repeat(anchors[-1]))
        self._observer, self._is_told = observer, is_told
        self._anchor = anchors[0]
        self._slope: Tensor | None = None

    def hooks(self, module: nn.Module) -> Iterator[Any]:
        """Put the hooks in place; gives what removes them."""
        before, after = (hook_of({id(module)}, each) for each in (self._before, self._after))
        yield module.register_forward_pre_hook(before, prepend=True)
        yield module.register_forward_hook(after)

    @torch.no_grad()
    def _before(self, _: nn.Module, received: Any) -> None:
        self._anchor, self._slope = next(self._anchors), None
        found, data = self._anchor.event.nonlinearity, received[0] if received else None
        if found is None or not isinstance(data, Tensor) or self._is_told(self._anchor):
            return
        # Before it runs: what works in place leaves nothing of its input.
        self._slope = found.slope(data, (data, *self._anchor.rest), self._anchor.options)

    @torch.no_grad()
    def _after(self, _: nn.Module, received: Any, output: Any) -> None:
        node, event = self._anchor.node, self._anchor.event
        data = received[0] if received else None
        if event.nonlinearity is None:
            seen = None if event.received is None else data
            self._observer.tell_layer(node, output, seen, is_raw=event.is_raw)
        elif self._slope is not None and isinstance(data, Tensor):
            self._observer.tell_nonlinearity(node, event.nonlinearity, self._slope, output, data)


def _hand_over(hook: Callable[[Tensor], None], gradient: Tensor | None) -> None:
    # As a tracer does: what is measured is nobody's to see, and an author's function may give none.
    if gradient is not None:
        with torch._C.DisableTorchFunction():
            hook(gradient)
