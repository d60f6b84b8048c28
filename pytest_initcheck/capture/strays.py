"""Parameters that a model uses and does not hold: where they lie, or were made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn


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


def made_in(module: str) -> str:
    """The place of a layer that a forward pass makes anew."""
    return (
        f"a layer made in the forward pass of {module!r}"
        if module
        else ("a layer made in the forward pass")
    )
