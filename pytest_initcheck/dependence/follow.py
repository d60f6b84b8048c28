"""Follows two passes operator by operator and says of each what moved between them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules import module as module_hooks
from torch.utils._pytree import tree_map

from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options
from pytest_initcheck.capture.operators import flat_tensors, storage_key
from pytest_initcheck.capture.program import tensors_of
from pytest_initcheck.dependence.fingerprints import Mark, Spread, mark, spread
from pytest_initcheck.dependence.frozen_statistics import Diverged
from pytest_initcheck.dependence.steps import Frame, Move, Received, Step, Trail, Visit

# Longer passes are not followed: it would take minutes.
_MOST_STEPS = 20_000
# Bytes of results that are kept to be replayed.
_MOST_KEPT = 1 << 28


class Follower(OperatorMode):
    """Sees every operation that the model runs; the loss lies outside."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = {id(m): name for name, m in reversed(list(model.named_modules()))}
        self._model = model
        self.frames: list[Frame] = []
        self._makers: dict[int, tuple[int, StorageWeakRef]] = {}
        self.ends: tuple[int, ...] = ()
        self._count = 0
        # What a recurrent layer received, while it runs: its steps are not followed.
        self._recurrence: Received | None = None
        self._is_paused = False

    @contextmanager
    def running(self) -> Iterator[Follower]:
        """Follow what runs inside, without fused attention."""
        math = torch.nn.attention.SDPBackend.MATH
        handles = (
            module_hooks.register_module_forward_pre_hook(self._enter),
            module_hooks.register_module_forward_hook(self._leave, always_call=True),
        )
        try:
            with warnings.catch_warnings(), torch.nn.attention.sdpa_kernel(math), self:
                warnings.simplefilter("ignore")
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        if not self.frames or self._is_paused or self._recurrence is not None:
            return func(*args, **kwargs)
        received = self._received(func, _bound(func, args, kwargs), flat_tensors((args, kwargs)))
        return self._note(received, func(*args, **kwargs))

    def _received(self, func: Any, arguments: dict[str, Any], tensors: list[Tensor]) -> Received:
        sources = tuple(dict.fromkeys(i for t in tensors if (i := self._maker(t)) is not None))
        marks = tuple(mark(tensor) for tensor in tensors)
        return Received(
            func=func, arguments=arguments, tensors=tuple(tensors), marks=marks, sources=sources
        )

    def _note(self, received: Received, out: Any) -> Any:
        index, self._count = self._count, self._count + 1
        if index >= _MOST_STEPS:
            raise Diverged
        out = self.see(index, received, out)
        for tensor in flat_tensors(out):
            key = storage_key(tensor)
            if key:
                self._makers[key] = index, StorageWeakRef(tensor.untyped_storage())
        return out

    def see(self, index: int, received: Received, out: Any) -> Any:
        """What the operation is to return."""
        raise NotImplementedError

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        name = self._names.get(id(module), self.frames[-1].name if self.frames else "")
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        is_float = bool(tensors) and tensors[0].is_floating_point()
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        self.frames.append(Frame(name, module, shapes, is_float))
        if isinstance(module, nn.RNNBase) and self._recurrence is None:
            self._is_paused = True
            self._recurrence = self._received(None, {}, tensors_of(inputs))
            self._is_paused = False

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self.frames:
            return
        if isinstance(module, nn.RNNBase) and self._recurrence is not None and output is not None:
            received, self._recurrence = self._recurrence, None
            self._is_paused = True
            self._note(received, output)
            self._is_paused = False
        self.frames.pop()
        if not self.frames and module is self._model:
            made = (self._maker(tensor) for tensor in tensors_of(output))
            self.ends = tuple(dict.fromkeys(i for i in made if i is not None))

    def _maker(self, tensor: Tensor) -> int | None:
        found = self._makers.get(storage_key(tensor))
        return found[0] if found is not None else None


class First(Follower):
    """The pass that is compared with: its marks, and the results that may be replayed."""

    def __init__(self, model: nn.Module, keeps: Callable[[str], bool]) -> None:
        super().__init__(model)
        self.trail = Trail()
        self._keeps = keeps
        self._bytes = 0

    def see(self, index: int, received: Received, out: Any) -> Any:
        operator = received.operator
        outputs = tuple(mark(tensor) for tensor in flat_tensors(out))
        step = Step(
            operator=operator, sources=received.sources, inputs=received.marks, outputs=outputs
        )
        if self._keeps(operator) and self._bytes < _MOST_KEPT:
            step.kept = tree_map(_copy, out)
            self._bytes += sum(t.numel() * t.element_size() for t in flat_tensors(out))
        self.trail.steps.append(step)
        return out


class Second(Follower):
    """A pass with another batch; ``visit`` says of each operation whether to replay its result."""

    def __init__(self, model: nn.Module, trail: Trail, visit: Visit) -> None:
        super().__init__(model)
        self._trail = trail
        self._visit = visit

    def see(self, index: int, received: Received, out: Any) -> Any:
        steps = self._trail.steps
        if index >= len(steps) or steps[index].operator != received.operator:
            raise Diverged
        first = steps[index]
        move = Move(
            index=index,
            func=received.func,
            operator=received.operator,
            frames=tuple(self.frames),
            arguments=received.arguments,
            tensors=received.tensors,
            inputs=_spreads(first.inputs, received.marks),
            outputs=_spreads(first.outputs, tuple(mark(tensor) for tensor in flat_tensors(out))),
            sources=received.sources,
        )
        if self._visit(move) and first.kept is not None:
            return tree_map(_copy, first.kept)
        return out


def _spreads(
    before: tuple[Mark | None, ...], after: tuple[Mark | None, ...]
) -> tuple[Spread | None, ...]:
    if len(before) != len(after):
        raise Diverged
    return tuple(_spread(old, new) for old, new in zip(before, after, strict=True))


def _spread(before: Mark | None, after: Mark | None) -> Spread | None:
    if before is None or after is None:
        return None
    if before.shape != after.shape:
        raise Diverged
    return spread(before, after)


def _bound(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the names of the operator's schema."""
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
