"""Where a module's own call makes what is measured, so that a later look need not trace it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.operation import Operation
from pytest_initcheck.capture.operators import flat_tensors
from pytest_initcheck.capture.replay import Event
from pytest_initcheck.evidence import Node
from pytest_initcheck.ranks.dtensors import is_fully_sharded

# Modules that hold others and never run.
_HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A call of a module that is one event: its first input is what the operator received, its
    output what that made. ``rest`` and ``options`` are the other arguments of the operator."""

    node: Node
    event: Event
    rest: tuple[Any, ...] = ()
    options: dict[str, Any]


@dataclass(kw_only=True)
class _Call:
    """A module while it runs, and what was measured in it."""

    module: nn.Module
    received: Any
    found: list[tuple[Anchor, Any, Tensor]] = field(default_factory=list)


class Anchors:
    """The calls of modules in the first pass that are events, by the module, in their order.

    ``is_whole``: they are all that there is to measure, and every module has run.
    """

    def __init__(self, model: nn.Module) -> None:
        self.of: dict[nn.Module, list[Anchor]] = {}
        self._model = model
        self._ran: set[int] = set()
        self._stack: list[_Call] = []
        self._is_refused = any(map(_is_opaque, model.modules()))

    def refuse(self) -> None:
        """Something runs that has to be seen in every pass."""
        self._is_refused = True

    def enter(self, module: nn.Module, received: Any) -> None:
        """A module is about to run on what it ``received``."""
        self._ran.add(id(module))
        self._stack.append(_Call(module=module, received=received))

    def note(self, event: Event, node: Node, call: Operation, out: Any) -> None:
        """What is to be measured at an operator that has just run."""
        rest = call.args[1:] if event.nonlinearity else ()
        options = call.options if event.nonlinearity else {}
        read = call.args[0] if event.nonlinearity else None
        if event.received is not None and not event.nonlinearity:
            read = call.tensors[event.received]
        made = flat_tensors(out)
        if not self._stack or flat_tensors((rest, options)) or len(made) != 1:
            self.refuse()
            return
        anchor = Anchor(node=node, event=event, rest=rest, options=options)
        self._stack[-1].found.append((anchor, read, made[0]))

    def leave(self, output: Any) -> None:
        """The module that runs has given an output."""
        if not self._stack:
            return
        call = self._stack.pop()
        if not call.found:
            return
        anchor, read, made = call.found[0]
        is_first = read is None or (bool(call.received) and call.received[0] is read)
        if len(call.found) > 1 or made is not output or not is_first:
            self.refuse()
        self.of.setdefault(call.module, []).append(anchor)

    @property
    def is_whole(self) -> bool:
        """Whether hooks on modules see all that a look measures."""
        leaves = (m for m in self._model.modules() if not m._modules)
        return not self._is_refused and all(
            id(module) in self._ran or isinstance(module, _HOLDERS) for module in leaves
        )


def _is_opaque(module: nn.Module) -> bool:
    """Whether a module takes no hooks of its own, or runs other kernels when it is traced."""
    is_compiled = isinstance(module, torch.jit.ScriptModule)
    return is_compiled or isinstance(module, nn.RNNBase) or is_fully_sharded(module)
