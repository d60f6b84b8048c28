"""Puts the watcher where it sees: on gradients, modules, optimisers, clipping and the scaler."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import CellType
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import clip_grad
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from pytest_initcheck.capture.optimizer_step import closure_in, with_closure
from pytest_initcheck.stepping.observer import StepObserver
from pytest_initcheck.stepping.track import Track, size, total

_CLIPS = ("clip_grad_norm_", "clip_grad_value_", "_clip_grads_with_norm_")
_HOLDERS = ("_backward_hooks", "_post_accumulate_grad_hooks")


@contextlib.contextmanager
def tapped(watcher: StepObserver) -> Iterator[None]:
    """Inside, the watcher sees every step; outside, nothing is left of it."""
    with contextlib.ExitStack() as stack:
        for track in watcher.tracks.values():
            stack.enter_context(_gradient(watcher, track))
        stack.enter_context(_modules(watcher))
        stack.enter_context(_optimizers(watcher, stack))
        for name in _CLIPS:
            stack.enter_context(_clip(watcher, name))
        stack.enter_context(_scalers(watcher))
        yield


@contextlib.contextmanager
def _modules(watcher: StepObserver) -> Iterator[None]:
    def hook(module: nn.Module, args: Any) -> None:
        # Compiled code, which may not be broken up, traces the hook as well.
        if not torch.compiler.is_compiling():
            watcher.forward(module)

    handles = [
        module.register_forward_pre_hook(hook)
        for module in watcher.model.modules()
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _gradient(watcher: StepObserver, track: Track) -> Iterator[None]:
    parameter = track.parameter
    if not parameter.is_leaf or not (parameter.is_floating_point() or parameter.is_complex()):
        yield
        return
    before = [getattr(parameter, name) for name in _HOLDERS]
    is_trainable = parameter.requires_grad
    # A frozen one can take hooks only while it is not, and the step may thaw it.
    parameter.requires_grad_(True)
    handles = [
        parameter.register_hook(lambda gradient: watcher.coming(track, gradient)),
        parameter.register_post_accumulate_grad_hook(lambda _: watcher.added(track)),
    ]
    parameter.requires_grad_(is_trainable)
    for name, handle in zip(_HOLDERS, handles, strict=True):
        _put_first(getattr(parameter, name), handle.id)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for name, held in zip(_HOLDERS, before, strict=True):
            if held is None and not getattr(parameter, name):
                setattr(parameter, name, None)


def _put_first(hooks: dict[int, Any], key: int) -> None:
    # Torch goes through the plain dict, which move_to_end of an OrderedDict does not change.
    content = dict(hooks)
    hooks.clear()
    hooks[key] = content.pop(key)
    hooks.update(content)


@contextlib.contextmanager
def _optimizers(watcher: StepObserver, stack: contextlib.ExitStack) -> Iterator[None]:
    def before(optimizer: Any, args: Any, kwargs: Any) -> Any:
        for track in watcher.meet(optimizer):
            stack.enter_context(_gradient(watcher, track))
        watcher.depth += 1
        closure = closure_in(args, kwargs)
        if closure is not None:
            return with_closure(args, kwargs, _closing(watcher, optimizer, closure))
        found = getattr(optimizer, "found_inf", None)
        watcher.use(optimizer, is_skipped=isinstance(found, Tensor) and bool(found.item()))
        return None

    def after(optimizer: Any, args: Any, kwargs: Any) -> None:
        watcher.depth -= 1
        watcher.stepped(optimizer)

    handles = register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)
    for optimizer in list(watcher.optimizers.values()):
        if not isinstance(optimizer, torch.optim.Optimizer):
            stack.enter_context(_foreign(optimizer, before, after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _closing(
    watcher: StepObserver, optimizer: Any, closure: Callable[[], Any]
) -> Callable[[], Any]:
    def evaluate() -> Any:
        loss = closure()
        watcher.use(optimizer, in_closure=True)
        return loss

    return evaluate


@contextlib.contextmanager
def _foreign(optimizer: Any, before: Any, after: Any) -> Iterator[None]:
    """An optimiser that is none of torch's classes has no hooks of its own."""
    own = optimizer.step

    def step(*args: Any, **kwargs: Any) -> Any:
        changed = before(optimizer, (optimizer, *args), kwargs)
        args, kwargs = (changed[0][1:], changed[1]) if changed else (args, kwargs)
        result = own(*args, **kwargs)
        after(optimizer, args, kwargs)
        return result

    with _replaced(optimizer, "step", step):
        yield


@contextlib.contextmanager
def _replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    missing = object()
    before = vars(holder).get(name, missing)
    setattr(holder, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(holder, name)
        else:
            setattr(holder, name, before)


@contextlib.contextmanager
def _clip(watcher: StepObserver, name: str) -> Iterator[None]:
    """Code that imported the function by name calls it all the same: what it wraps is replaced."""
    cell = _wrapped(getattr(clip_grad, name, None))
    if cell is None:
        yield
        return
    own = cell.cell_contents
    cell.cell_contents = _measuring(watcher, own)
    try:
        yield
    finally:
        cell.cell_contents = own


def _wrapped(function: Any) -> CellType | None:
    cells = getattr(function, "__closure__", None) or ()
    return next((cell for cell in cells if callable(cell.cell_contents)), None)


def _measuring(watcher: StepObserver, own: Callable[..., Any]) -> Callable[..., Any]:
    def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        if watcher.is_clipping:
            return own(parameters, *args, **kwargs)
        tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        before = total(size(tensor.grad) for tensor in tensors)
        watcher.is_clipping = True
        try:
            result = own(tensors, *args, **kwargs)
        finally:
            watcher.is_clipping = False
        watcher.clipped(tensors, before)
        return result

    return clip


@contextlib.contextmanager
def _scalers(watcher: StepObserver) -> Iterator[None]:
    scale, unscale, step = GradScaler.scale, GradScaler.unscale_, GradScaler.step

    def scaling(scaler: Any, outputs: Any) -> Any:
        result = scale(scaler, outputs)
        if scaler.is_enabled():
            watcher.scaled(float(scaler.get_scale()))
        return result

    def unscaling(scaler: Any, optimizer: Any) -> None:
        unscale(scaler, optimizer)
        if scaler.is_enabled():
            watcher.unscaled(optimizer)

    def stepping(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        known = len(watcher.call.uses)
        result = step(scaler, optimizer, *args, **kwargs)
        watcher.call.is_unscaled = True
        if scaler.is_enabled() and len(watcher.call.uses) == known:
            watcher.skip(optimizer)
        return result

    with (
        _replaced_in_class(GradScaler, "scale", scaling),
        _replaced_in_class(GradScaler, "unscale_", unscaling),
        _replaced_in_class(GradScaler, "step", stepping),
    ):
        yield


@contextlib.contextmanager
def _replaced_in_class(kind: type, name: str, value: Any) -> Iterator[None]:
    before = vars(kind)[name]
    setattr(kind, name, value)
    try:
        yield
    finally:
        setattr(kind, name, before)
