"""Puts back everything that a step has reached, bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.stepping.reach import Reach

_MISSING = object()


@contextlib.contextmanager
def kept(found: Reach) -> Iterator[None]:
    """Restore what is in reach, and every random stream, on leaving; also when the body raises."""
    holder = nn.Module()
    vars(holder).update({f"kept{i}": value for i, value in enumerate(found.holders)})
    tensors = [*found.tensors, *(p for module in found.modules for p in module.parameters())]
    gradients = [t.grad for t in tensors if t.is_leaf and isinstance(t.grad, Tensor)]
    undo = [
        *map(_cell, found.cells),
        *(_name(*place) for place in found.names),
        *(_attribute(*place) for place in dict.fromkeys(found.attributes)),
        *map(_array, found.arrays),
    ]
    with preserved(*gradients, *found.tensors, *found.modules, holder):
        try:
            yield
        finally:
            for step in undo:
                step()


def _cell(cell: Any) -> Callable[[], None]:
    try:
        content = cell.cell_contents
    except ValueError:
        content = _MISSING

    def restore() -> None:
        if content is not _MISSING:
            cell.cell_contents = content
        elif _is_full(cell):
            del cell.cell_contents

    return restore


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None or True
    except ValueError:
        return False


def _name(space: dict[str, Any], name: str) -> Callable[[], None]:
    content = space.get(name, _MISSING)

    def restore() -> None:
        if content is not _MISSING:
            space[name] = content
        else:
            space.pop(name, None)

    return restore


def _attribute(kind: type, name: str) -> Callable[[], None]:
    content = vars(kind)[name]

    def restore() -> None:
        if vars(kind).get(name, _MISSING) is not content:
            setattr(kind, name, content)

    return restore


def _array(array: Any) -> Callable[[], None]:
    content = array.copy()

    def restore() -> None:
        if array.flags.writeable:
            array[...] = content

    return restore
