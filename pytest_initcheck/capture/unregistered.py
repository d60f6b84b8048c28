"""Parameters that a model uses and does not hold: where they lie, or were made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def outside(model: nn.Module) -> dict[int, str]:
    """Where parameters lie that the model uses and does not hold, by identity: "layers[0]"."""
    known = {id(parameter) for parameter in model.parameters()}
    found: dict[int, str] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_modules", "_parameters", "_buffers"):
                continue
            for place, item in _items(value):
                for tensor in item.parameters() if isinstance(item, nn.Module) else [item]:
                    if id(tensor) not in known:
                        path = f"{name}.{attribute}" if name else attribute
                        found.setdefault(id(tensor), f"{path}[{place!r}]")
    return found


def _items(value: Any) -> Iterator[tuple[Any, nn.Module | nn.Parameter]]:
    places = value if isinstance(value, dict) else range(len(value) if _is_row(value) else 0)
    for place in places:
        item = value[place]
        if isinstance(item, (nn.Module, nn.Parameter)):
            yield place, item


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple))


class Strays:
    """Trainable parameters that run in a model, and are not the model's.

    Their gradients are taken away while the model is looked at, and put back afterwards.
    """

    def __init__(self, model: nn.Module) -> None:
        self.found: tuple[str, ...] = ()
        self._seen: dict[int, tuple[Tensor, Tensor | None, str]] = {}
        self._outside = outside(model)
        # A parameter whose storage is replaced in the first pass remains the model's.
        self._known = {id(parameter) for parameter in model.parameters()}

    def note(self, tensors: list[Tensor], module: str) -> None:
        """Note what an operator reads that runs in a module."""
        for tensor in tensors:
            is_trained = isinstance(tensor, nn.Parameter) and tensor.requires_grad
            if is_trained and id(tensor) not in self._known and id(tensor) not in self._seen:
                place = self._outside.get(id(tensor), "") or _made_in(module)
                self._seen[id(tensor)] = tensor, tensor.grad, place
                # Another gradient would be added to this one in place.
                tensor.grad = None

    def release(self) -> None:
        """Put the gradients back to what they were; those that got one are ``found``."""
        found = []
        for tensor, before, place in self._seen.values():
            if tensor.grad is not None:
                found.append(place)
            tensor.grad = before
        self.found = tuple(dict.fromkeys(found))


def _made_in(module: str) -> str:
    """The place of a layer that a forward pass makes anew."""
    made = "a layer made in the forward pass"
    return f"{made} of {module!r}" if module else made
