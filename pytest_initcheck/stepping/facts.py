"""What is known of every weight after the calls, from its values, its groups and its gradients."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.stepping.arguments import tensors_held
from pytest_initcheck.stepping.observations import StepObservations, Stranger, Weight
from pytest_initcheck.stepping.observer import StepObserver
from pytest_initcheck.stepping.track import Track, size

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    *((nn.RMSNorm,) if hasattr(nn, "RMSNorm") else ()),
)


class InitialWeights:
    """The weights as they were before the first call."""

    def __init__(self, watcher: StepObserver) -> None:
        tracks = watcher.tracks.values()
        self.values = {id(t.parameter): t.parameter.detach().clone() for t in tracks}
        self.trainable = {id(t.parameter): t.parameter.requires_grad for t in tracks}


def seen(watcher: StepObserver, start: InitialWeights, passed: list[Any]) -> StepObservations:
    """All that the checks read; called while the model is as the last call left it."""
    model = watcher.model
    held, twice = _held(watcher)
    weights = {w.name: w for w in _weights(watcher, start, held)}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matters = tuple(name for name, m in model.named_modules() if depends_on_mode(m))
    return StepObservations(
        calls=watcher.calls,
        weights=weights,
        strangers=list(_strangers(watcher, start, passed)),
        eval_matters=matters,
        containers=_containers(model),
        twice=tuple(dict.fromkeys(names.get(key, "") for key in twice)),
        is_warming=any("initial_lr" in group for o in passed for group in o.param_groups),
    )


def _held(watcher: StepObserver) -> tuple[set[int], list[int]]:
    """The tensors that some optimiser holds, and those that one holds more than once."""
    held: set[int] = set()
    twice: list[int] = []
    for optimizer in watcher.optimizers.values():
        mine = Counter(id(tensor) for tensor in tensors_held(optimizer))
        twice += [key for key, count in mine.items() if count > 1]
        held |= set(mine)
    return held, twice


def _weights(watcher: StepObserver, start: InitialWeights, held: set[int]) -> Iterator[Weight]:
    norms = _norm_parameters(watcher.model)
    for name, parameter in watcher.model.named_parameters():
        key = id(parameter)
        first = start.values.get(key)
        track = watcher.tracks.get(key)
        pulls = watcher.pulls.get(key, [])
        is_reached = parameter.grad is not None if track is None else track.is_reached
        yield Weight(
            name=name,
            shape=tuple(parameter.shape),
            is_norm=key in norms,
            trainable=parameter.requires_grad or start.trainable.get(key, False) or is_reached,
            reached=is_reached,
            moved=first is not None and not _equal(parameter, first),
            held=key in held,
            rate=watcher.rates.get(key),
            starts_at=1 if first is not None and _is_one(first) else None,
            pull=max(pulls, default=0.0),
            outrun=_outrun(parameter, first, sum(pulls)),
        )


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a.detach() == b) | (a.isnan() & b.isnan())).all())


def _is_one(value: Tensor) -> bool:
    return value.numel() > 0 and value.is_floating_point() and bool((value == 1).all())


def _outrun(parameter: Tensor, first: Tensor | None, pull: float) -> float:
    """How far decay has moved a weight, over how far all else has."""
    if first is None or not pull or first.shape != parameter.shape:
        return 0.0
    decayed = pull * size(first)
    rest = size(parameter.detach() - first * (1 - pull))
    return decayed / rest if rest else float("inf")


def _strangers(
    watcher: StepObserver, start: InitialWeights, passed: list[Any]
) -> Iterator[Stranger]:
    own = {id(parameter) for parameter in watcher.model.parameters()}
    for tensor in {id(t): t for o in passed for t in tensors_held(o)}.values():
        track: Track | None = watcher.tracks.get(id(tensor))
        first = start.values.get(id(tensor))
        if id(tensor) not in own and track is not None and first is not None:
            yield Stranger(
                tuple(tensor.shape),
                tensor.requires_grad,
                track.is_reached,
                not _equal(tensor, first),
            )


def _norm_parameters(model: nn.Module) -> set[int]:
    norms = (m for m in model.modules() if is_norm_module(m))
    return {id(p) for module in norms for p in module.parameters(recurse=False)}


def is_norm_module(module: nn.Module) -> bool:
    """Whether a module normalises: one of torch's, or one that is called so."""
    return isinstance(module, _NORMS) or type(module).__name__.lower().endswith(("norm", "norm2d"))


def depends_on_mode(module: nn.Module) -> bool:
    """Whether a module does another thing in eval mode."""
    if isinstance(module, torch.jit.ScriptModule):
        return any(word in module.original_name for word in ("Dropout", "BatchNorm"))
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.track_running_stats
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        return float(module.dropout) > 0
    if type(module).__module__.startswith("torch.nn."):
        return isinstance(module, nn.RReLU)
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    return code is not None and "training" in code.co_names


def _containers(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """For each module that holds others, those of them, by name, that drop values out."""
    found: dict[str, tuple[str, ...]] = {}
    for name, module in model.named_modules():
        if any(True for _ in module.children()):
            found[name] = tuple(
                f"{name}.{part}" if name else part
                for part, other in module.named_modules()
                if part and depends_on_mode(other) and not is_norm_module(other)
            )
    return found


@torch.no_grad()
def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, buffers and gradients, by name."""
    parameters = dict(model.named_parameters())
    buffers = {f"buffer {name}": b for name, b in model.named_buffers()}
    gradients = {f"gradient {name}": p.grad for name, p in parameters.items()}
    every = {**parameters, **gradients, **buffers}
    return {name: _dense(value) for name, value in every.items() if value is not None}


def _dense(value: Tensor) -> Tensor:
    plain = value.detach()
    return (plain.to_dense() if plain.layout != torch.strided else plain).clone()
