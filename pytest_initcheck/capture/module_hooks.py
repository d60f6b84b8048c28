"""Hooks around every module of a model, for the time of a pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.utils.hooks import RemovableHandle

from pytest_initcheck.ranks.dtensors import is_fully_sharded

Hook = Callable[..., None]


@contextmanager
def hooked(model: nn.Module, enter: Hook, leave: Hook, pause: Hook) -> Iterator[None]:
    """Inside, ``enter`` and ``leave`` are called with each module that runs.

    ``pause`` is called before what ``fully_shard`` does around a module, which is no part of it;
    ``enter`` or ``leave`` comes after that. None is called with a module of a copy that is made
    inside, as by the inner loop of meta-learning.
    """
    modules = list(model.modules())
    own = {id(module) for module in modules}
    with ExitStack() as stack:
        hooks = (hook_of(own, each) for each in (enter, leave, pause))
        for handle in _registered(modules, *hooks):
            stack.callback(handle.remove)
        yield


def hook_of(own: Collection[int], hook: Hook) -> Hook:
    """The hook for some modules alone, by their ids.

    A copy of such a module shares it: a function is not copied, where the method of an object
    would be, with all that the object holds.
    """

    def called(module: nn.Module, *call: Any) -> None:
        if id(module) in own:
            hook(module, *call)

    return called


def _registered(
    modules: list[nn.Module], enter: Hook, leave: Hook, pause: Hook
) -> Iterator[RemovableHandle]:
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules):
        # Scripted modules take no hooks of their own.
        yield module_hooks.register_module_forward_pre_hook(enter)
        yield module_hooks.register_module_forward_hook(leave, always_call=True)
        return
    # Otherwise not the global hooks: torch.compile warns about them.
    for module in modules:
        is_gathered = is_fully_sharded(module)
        if is_gathered:
            yield module.register_forward_pre_hook(pause, prepend=True)
            yield module.register_forward_hook(pause, prepend=True)
        yield module.register_forward_pre_hook(enter, prepend=not is_gathered)
        yield module.register_forward_hook(leave, always_call=True)


class Gathered:
    """The parameters that ``fully_shard`` puts in the place of a model's while a module runs."""

    def __init__(self, model: nn.Module) -> None:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._kept = set(names)
        self._held: dict[int, list[tuple[nn.Module, str, str]]] = {
            id(module): [
                (part, short, names[id(parameter)])
                for part in module.modules()
                for short, parameter in part._parameters.items()
                if parameter is not None
            ]
            for module in model.modules()
            if is_fully_sharded(module)
        }

    def of(self, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Those that were gathered for a module that is about to run, by the model's names."""
        for part, short, name in self._held.get(id(module), ()):
            parameter = part._parameters[short]
            if parameter is not None and id(parameter) not in self._kept:
                yield name, parameter
