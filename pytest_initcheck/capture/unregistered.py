"""Weights that a model uses and does not hold: where they lie, or were made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

_REGISTERED = ("_modules", "_parameters", "_buffers")


def outside(model: nn.Module) -> dict[int, tuple[str, Tensor]]:
    """Where tensors lie that a model can train and does not hold, by identity: "layers[0]"."""
    known = {id(parameter) for parameter in model.parameters()}
    found: dict[int, tuple[str, Tensor]] = {}
    for name, module in model.named_modules():
        for path, item in _held(module, name):
            for tensor in item.parameters() if isinstance(item, nn.Module) else [item]:
                if id(tensor) not in known:
                    # Held, so that no later tensor gets its identity.
                    found.setdefault(id(tensor), (path, tensor))
    return found


def _held(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module | Tensor]]:
    """What lies in a module's attributes, and in the lists and dicts among them, with its path."""
    attributes = {k: v for k, v in vars(module).items() if k not in _REGISTERED}
    for attribute, value in {**attributes, **module._buffers}.items():
        path = f"{name}.{attribute}" if name else attribute
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            yield path, value
        for place, item in _items(value):
            yield f"{path}[{place!r}]", item


def _items(value: Any) -> Iterator[tuple[Any, nn.Module | Tensor]]:
    places = value if isinstance(value, dict) else range(len(value) if _is_row(value) else 0)
    for place in places:
        item = value[place]
        if isinstance(item, (nn.Module, Tensor)):
            yield place, item


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple))


class Unregistered:
    """What can be trained, runs in a model, and is not the model's.

    Parameters wherever they lie, and plain tensors with ``requires_grad`` that a module holds:
    those that lie elsewhere may be anything, such as inputs whose gradient is asked for. Their
    gradients are taken away while the model is looked at, and put back afterwards.
    """

    def __init__(self, model: nn.Module) -> None:
        self.found: tuple[tuple[str, Tensor], ...] = ()
        self._seen: dict[int, tuple[Tensor, Tensor | None, str]] = {}
        self._model = model
        self._outside: dict[int, tuple[str, Tensor]] | None = None
        # A parameter whose storage is replaced in the first pass remains the model's.
        self._known = {id(parameter) for parameter in model.parameters()}

    def know(self, parameter: Tensor) -> None:
        """A parameter as it is while its module runs."""
        self._known.add(id(parameter))

    def note(self, tensors: list[Tensor], module: str) -> bool:
        """Note what an operator reads that runs in a module; whether the model does not hold it."""
        if self._outside is None:
            self._outside = outside(self._model)
        before = len(self._seen)
        for tensor in tensors:
            if not tensor.requires_grad or not tensor.is_leaf:
                continue
            if id(tensor) in self._known or id(tensor) in self._seen:
                continue
            held = self._outside.get(id(tensor))
            if held is not None or isinstance(tensor, nn.Parameter):
                place = held[0] if held else _made_in(module)
                self._seen[id(tensor)] = tensor, tensor.grad, place
                # Another gradient would be added to this one in place.
                tensor.grad = None
        return len(self._seen) > before

    def release(self) -> None:
        """Put the gradients back to what they were; those that got one are ``found``."""
        found = []
        for tensor, before, place in self._seen.values():
            if tensor.grad is not None:
                found.append((place, tensor))
            tensor.grad = before
        self.found = tuple(found)


def _made_in(module: str) -> str:
    """The place of a layer that a forward pass makes anew."""
    made = "a layer made in the forward pass"
    return f"{made} of {module!r}" if module else made
