"""Hears what is differentiated, while someone listens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor


class Listener(Protocol):
    """Is told before and after each call of ``torch.autograd.backward``."""

    def before_backward(self) -> None:
        """The call begins."""

    def after_backward(self, losses: list[Tensor]) -> None:
        """The call has differentiated these."""


_LISTENERS: list[Listener] = []
Backward = Callable[..., Any]
# Torch's function and the one that stands for it.
_REPLACED: list[tuple[Backward, Backward]] = []


def listen(listener: Listener) -> None:
    """Tell the listener of every call until it leaves."""
    if listener in _LISTENERS:
        return
    if not _LISTENERS:
        own = torch.autograd.backward
        torch.autograd.backward = _notifying(own)
        _REPLACED.append((own, torch.autograd.backward))
    _LISTENERS.append(listener)


def leave(listener: Listener) -> None:
    """Tell it no more; the last one to leave puts torch's function back."""
    if listener not in _LISTENERS:
        return
    _LISTENERS.remove(listener)
    if not _LISTENERS:
        own, notifying = _REPLACED.pop()
        # What someone else has put in its place meanwhile goes on, and calls ours, which is deaf.
        if torch.autograd.backward is notifying:
            torch.autograd.backward = own


def _notifying(own: Backward) -> Backward:
    """The function that ``Tensor.backward`` and all trainers call in the end."""

    @functools.wraps(own)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        listeners = list(_LISTENERS)
        for listener in listeners:
            listener.before_backward()
        result = own(tensors, *args, **kwargs)
        losses = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        for listener in listeners:
            listener.after_backward(losses)
        return result

    return backward
