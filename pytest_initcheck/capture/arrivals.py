"""Where models come in: whoever has to see each of them before it is used is told here."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

Listener = Callable[[nn.Module], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> Callable[[], None]:
    """Have every model that comes in shown to ``listener`` first; what ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def arrived(model: object) -> None:
    """A model came in, and nothing of it has been measured or saved yet."""
    if isinstance(model, nn.Module):
        for listener in _listeners:
            listener(model)
