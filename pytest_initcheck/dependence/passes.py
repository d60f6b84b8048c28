"""Passes through a model that differ in the batch alone: state, statistics and dice are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.program import Program, copied, main_tensor, tensors_of
from pytest_initcheck.capture.restore import Saved, preserved
from pytest_initcheck.dependence.axes import NotFinite, moved_indices
from pytest_initcheck.dependence.frozen_statistics import Held, may_take_statistics
from pytest_initcheck.evidence import Observed

# A parameter whose values are all below this hides what runs through it: zero-initialised heads,
# gates and adapters, and the layer scales of 1e-4 and less.
_TINY = 1e-3
Change = Mapping[str, Tensor]


class NotAsked(Exception):
    """Why a question has no answer here."""


@dataclass(frozen=True)
class PassResult:
    """What a pass gave: the output that a loss is meant for, every tensor of it, and the loss."""

    main: Tensor | None
    outputs: tuple[Tensor, ...]
    loss: Tensor


class Passes:
    """Runs a program again and again, each time from the state that it was found in.

    Where its caller has ``saved`` that state, it is put back after each pass from there.
    """

    def __init__(self, program: Program, saved: Saved | Awake | None = None) -> None:
        self.program = program
        self.count = 0
        self._saved = saved
        self._held = Held()
        # What the first pass on the batch as it is has shown to change nothing.
        self._has_statistics = self._has_dropout = True
        self._differentiates = False

    def know(self, observed: Observed) -> None:
        """What a traced pass has shown to change nothing need not be looked for."""
        operators = {node.operator for node in observed.nodes}
        self._has_statistics = any(map(may_take_statistics, operators))
        self._has_dropout = observed.has_dropout

    def reference(self, *modes: AbstractContextManager[Any]) -> PassResult:
        """The batch as it is; its statistics are held in every pass from then on."""
        try:
            return self._run({}, modes, replays=False)
        except Exception:
            if self._differentiates:
                raise
            # Forces and the like are gradients that the model takes itself.
            self._differentiates = True
            return self._run({}, modes, replays=False)

    def changed(self, change: Change, *modes: AbstractContextManager[Any]) -> PassResult:
        """The batch with some of its tensors, by their place, replaced."""
        return self._run(change, modes, replays=True)

    def on(self, batch: Any) -> Passes:
        """Passes on another batch, which need not find out again what changes nothing."""
        other = Passes(replace(self.program, batch=batch), self._saved)
        other._has_statistics, other._has_dropout = self._has_statistics, self._has_dropout
        return other

    def shaken(self) -> AbstractContextManager[None]:
        """Every weight is another one inside, by a hundredth of itself; what is zero is noise."""
        return self._with(_shake)

    def redrawn(self) -> AbstractContextManager[None]:
        """Every weight is noise of the usual size inside."""
        return self._with(redrawn)

    @contextmanager
    def _with(self, weights: Callable[[Iterable[Tensor]], None]) -> Iterator[None]:
        model, saved = self.program.model, self._saved
        with preserved(model):
            with torch.no_grad():
                weights(model.parameters())
            self._saved = None
            try:
                yield
            finally:
                self._saved = saved

    @contextmanager
    def _put_back(self) -> Iterator[None]:
        if self._saved is None:
            with preserved(self.program.model, self.program.loss_fn, self.program.forward):
                yield
            return
        try:
            yield
        finally:
            self._saved.put_back()

    def _run(
        self, change: Change, modes: Iterable[AbstractContextManager[Any]], *, replays: bool
    ) -> PassResult:
        self.count += 1
        program = self.program
        batch = copied(program.batch)
        with ExitStack() as stack:
            stack.enter_context(self._put_back())
            stack.enter_context(torch.set_grad_enabled(self._differentiates))
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            dropout = CompositeCalls()
            if self._has_dropout:
                stack.enter_context(dropout)
            if self._has_statistics:
                stack.enter_context(self._held.running(replays=replays))
            with torch.no_grad():
                for place, tensor in named_tensors(batch):
                    if place in change:
                        tensor.copy_(change[place])
            for mode in modes:
                stack.enter_context(mode)
            calls = stack.enter_context(_outputs(program))
            result = program.observe(batch)
        if not replays:
            self._has_statistics, self._has_dropout = self._held.is_needed, dropout.is_needed
        # A caller's forward hands the loss over alone; what the model made in its only call counts.
        output = calls[0] if len(calls) == 1 else result.output
        main = main_tensor(output)
        # Not copied: what the model overwrites in place of its own output is its output.
        tensors = tuple(plain(tensor) for tensor in tensors_of(output))
        return PassResult(
            plain(main) if isinstance(main, Tensor) else None, tensors, plain(result.loss)
        )


@contextmanager
def _outputs(program: Program) -> Iterator[list[Any]]:
    """What the model as a whole gives, call by call, where a caller's forward runs it."""
    calls: list[Any] = []
    if program.forward is None or isinstance(program.model, torch.jit.ScriptModule):
        yield calls
        return
    handle = program.model.register_forward_hook(lambda _, __, output: calls.append(output))
    try:
        yield calls
    finally:
        handle.remove()


def plain(tensor: Tensor) -> Tensor:
    """A tensor without its graph; complex numbers as pairs, since both parts may move."""
    kept = tensor.detach()
    kept = kept.to_dense() if kept.layout != torch.strided else kept
    kept = torch.view_as_real(kept.resolve_conj()) if kept.is_complex() else kept
    copy: Tensor = kept.clone()
    return copy


def moved_output(before: PassResult, after: PassResult, asked: str, other: str) -> Tensor:
    """Which values of the output moved between two passes; ``other`` is what the second has else.

    Raises:
        NotAsked: the output has another shape, or is not finite.
    """
    if before.main is None or after.main is None or before.main.shape != after.main.shape:
        raise NotAsked(f"{asked}: the output has another shape with {other}")
    try:
        return moved_indices(before.main, after.main)
    except NotFinite:
        raise NotAsked(f"{asked}: the output is not finite") from None


class Awake:
    """Parameters of zeros, or nearly so, hold numbers: nothing is hidden behind them.

    ``start`` is the state in which they sleep; what puts it back wakes them again.
    """

    def __init__(self, model: nn.Module, start: Saved) -> None:
        draw = torch.Generator().manual_seed(0)
        asleep = [parameter for parameter in model.parameters() if _sleeps(parameter)]
        self._start = start
        self._woken = [(p, p.detach().clone(), _noise(p, draw)) for p in asleep]
        self._wake()

    def put_back(self) -> None:
        """To the state in which the parameters have just been woken."""
        self._start.put_back()
        self._wake()

    def _wake(self) -> None:
        with torch.no_grad():
            for parameter, _, noise in self._woken:
                parameter.copy_(noise)

    def end(self) -> None:
        """To the state in which they sleep, where all else has been put back."""
        with torch.no_grad():
            for parameter, before, _ in self._woken:
                parameter.copy_(before)


def redrawn(parameters: Iterable[Tensor]) -> None:
    """Fill parameters with noise of the usual size; the caller puts them back."""
    draw = torch.Generator().manual_seed(2)
    for parameter in parameters:
        if _is_plain(parameter):
            parameter.copy_(_noise(parameter, draw))


def _shake(parameters: Iterable[Tensor]) -> None:
    draw = torch.Generator().manual_seed(1)
    for parameter in parameters:
        if _is_plain(parameter):
            noise = torch.randn(parameter.shape, generator=draw).mul_(0.01).add_(1)
            parameter.mul_(noise.to(parameter))
            # Columns that were added to a trained layer start at zero.
            drawn = _noise(parameter, draw).to(parameter)
            parameter.copy_(torch.where(parameter == 0, drawn, parameter))


def _sleeps(parameter: Tensor) -> bool:
    # One value tells of nearly all; the range of the others takes no copy.
    if not _is_plain(parameter) or float(parameter.detach()[(0,) * parameter.dim()].abs()) >= _TINY:
        return False
    return float(torch.stack(torch.aminmax(parameter.detach())).abs().max()) < _TINY


def _is_plain(parameter: Tensor) -> bool:
    if is_lazy(parameter) or not parameter.is_floating_point() or not parameter.numel():
        return False
    return not parameter.is_meta and parameter.layout == torch.strided


def _noise(parameter: Tensor, draw: torch.Generator) -> Tensor:
    """Weights with the variance of 1/fan-in; gains and shifts between 0.05 and 0.15."""
    if parameter.dim() < 2:
        return torch.rand(parameter.shape, generator=draw).mul_(0.1).add_(0.05)
    fan_in = max(parameter[0].numel(), 1)
    return torch.randn(parameter.shape, generator=draw).div_(fan_in**0.5)
