"""What is known of one operation: what it read, what it gave, and what moved of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pytest_initcheck.dependence.fingerprints import Mark, Spread


@dataclass(frozen=True)
class Frame:
    """A module that runs: its name, itself, and the shapes of the tensors that it received."""

    name: str
    module: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    is_float: bool


@dataclass(frozen=True, kw_only=True)
class Received:
    """What an operation was given."""

    func: Any
    arguments: dict[str, Any]
    tensors: tuple[Tensor, ...]
    marks: tuple[Mark | None, ...]
    sources: tuple[int, ...]

    @property
    def operator(self) -> str:
        return "recurrence" if self.func is None else str(self.func.overloadpacket.__name__)


@dataclass(kw_only=True)
class Step:
    """One operation of the first pass; ``sources`` are the steps whose results it read."""

    operator: str
    sources: tuple[int, ...]
    inputs: tuple[Mark | None, ...]
    outputs: tuple[Mark | None, ...]
    kept: Any = None


@dataclass(frozen=True, kw_only=True)
class Move:
    """One operation of the second pass, with what moved of its inputs and of its outputs.

    A recurrent layer is one operation, "recurrence", without a ``func``.
    """

    index: int
    func: Any
    operator: str
    frames: tuple[Frame, ...]
    arguments: dict[str, Any]
    tensors: tuple[Tensor, ...]
    inputs: tuple[Spread | None, ...]
    outputs: tuple[Spread | None, ...]
    sources: tuple[int, ...]

    @property
    def owner(self) -> str:
        """The module that ran it."""
        return self.frames[-1].name if self.frames else ""

    @property
    def moved(self) -> list[Spread]:
        """What moved of the inputs, where anything did."""
        return [found for found in self.inputs if found is not None and not found.is_still]

    @property
    def result(self) -> Spread | None:
        """What moved most widely of the outputs; None where nothing did."""
        found = [o for o in self.outputs if o is not None and not o.is_still]
        return max(found, key=lambda o: o.share, default=None)

    @property
    def is_view(self) -> bool:
        """Whether it only looks at the same memory in another way."""
        if self.func is None:
            return False
        returns = self.func._schema.returns
        aliases = bool(returns) and all(r.alias_info is not None for r in returns)
        return (aliases and not self.func._schema.is_mutable) or self.operator in _COPIES


# Reshaping that copies where the memory does not lie so.
_COPIES = ("_unsafe_view", "clone", "_reshape_copy", "contiguous")
Visit = Callable[[Move], bool]


@dataclass
class Trail:
    """The steps of the first pass, and where its output came from."""

    steps: list[Step] = field(default_factory=list)
    ends: tuple[int, ...] = ()

    def path(self) -> set[int]:
        """The steps on which the output depends."""
        found: set[int] = set()
        waiting = list(self.ends)
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += self.steps[index].sources
        return found
