"""A batch of named fields that a model takes as one argument, such as a dataclass."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any


class Whole(dict[str, Any]):
    """The fields of an object by name; ``built`` puts them into an object of its kind."""

    def __init__(self, original: Any) -> None:
        super().__init__(fields_of(original))
        self.original = original

    def __copy__(self) -> Whole:
        return Whole(self.original)

    def built(self) -> Any:
        """A copy of the object with these fields."""
        if isinstance(self.original, Mapping):
            found = copy.copy(self.original)
            found.update(self)  # type: ignore[attr-defined]
            return found
        if isinstance(self.original, tuple):
            return self.original._replace(**self)  # type: ignore[attr-defined]
        found = copy.copy(self.original)
        for name, value in self.items():
            # Past the class's own setter: it may be frozen.
            object.__setattr__(found, name, value)
        return found


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a mapping, a named tuple or a dataclass; empty for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}
