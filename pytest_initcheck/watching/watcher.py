"""Follows a training through hooks on the model and its optimiser alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options
from pytest_initcheck.capture.optimizer_step import closure_in, with_closure
from pytest_initcheck.capture.parameter_facts import describe_parameter
from pytest_initcheck.capture.replay import Plan
from pytest_initcheck.evidence import Array, Parameter
from pytest_initcheck.watching import backward_calls
from pytest_initcheck.watching.compiled import is_compiled, plain_model
from pytest_initcheck.watching.glance import glance
from pytest_initcheck.watching.looks import Looks, TrainingLook
from pytest_initcheck.watching.loss_of_step import LossOfStep
from pytest_initcheck.watching.reading import Reading
from pytest_initcheck.watching.sampled_weights import SampledWeights
from pytest_initcheck.watching.traced_pass import TracedPass

UNTRACED = "the model's forward: it is compiled, so that weights and gradients alone are measured"
UNCALLED = "the model's forward: it was not called as it is (watch the module that the loop calls)"


class Watcher:
    """Looks at the first step and at every N-th after it.

    Of such a step the pass is measured whose gradients come first, then the gradients as the
    optimiser takes them, then how far it moves the weights. The steps between cost two calls. Of a
    long training, looks that would not be kept are glances: the loss and two norms.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, every: int, scaler: Any
    ) -> None:
        self.called, self.model = model, plain_model(model)
        self.optimizer, self.every, self.scaler = optimizer, every, scaler
        self.looks, self.loss = Looks(), LossOfStep(self.model)
        self.losses: list[float | None] = []
        self.curves: dict[str, list[float]] = {"gradient norm": [], "update per step": []}
        self.parameters: dict[str, Parameter] = {}
        self.not_observed: set[str] = set()
        self.steps = 0
        self._weights = SampledWeights(self.model)
        self._plan = Plan()
        self._known: frozenset[str] | None = None
        self._pass: TracedPass | None = None
        self._before: Array | None = None
        self._can_trace = not is_compiled(model)
        self._handles: list[Any] = []
        self._on_model: list[Any] = []
        self._is_called = False
        self.is_due = False

    def start(self) -> None:
        """Put the hooks in place."""
        self._handles = [
            self.optimizer.register_step_pre_hook(self._before_step),
            self.optimizer.register_step_post_hook(self._after_step),
        ]
        self._await()

    def stop(self) -> None:
        """Leave nothing behind, wherever the training has come to."""
        for handle in self._handles:
            handle.remove()
        self._rest()
        self._release()
        self._before, self._pass = None, None

    def _await(self) -> None:
        """The next step is one to look at."""
        self.is_due, self._pass = True, None
        self.loss.clear()
        backward_calls.listen(self.loss)
        if self._can_trace and not self._on_model:
            enter, leave = (_hook(self.called, each) for each in (self._enter, self._leave))
            self._on_model = [
                self.called.register_forward_pre_hook(enter, with_kwargs=True),
                self.called.register_forward_hook(leave, prepend=True, always_call=True),
            ]

    def _rest(self) -> None:
        """Until the next one nothing is to be seen."""
        self.is_due = False
        backward_calls.leave(self.loss)
        # Torch calls a module that has hooks in a slower way, but compiles it anew without them.
        if self._is_called:
            self._release()

    def _release(self) -> None:
        for handle in self._on_model:
            handle.remove()
        self._on_model = []

    def _enter(self, module: nn.Module, args: Arguments, kwargs: Options) -> None:
        if not self.is_due:
            return
        self._is_called = True
        if self._pass is None or not self._pass.depth:
            if not torch.is_grad_enabled() or _is_traced_by_others() or self._is_settled():
                return
            if not self.looks.wants_next:
                return
            self._pass = self._new_pass()
        self._pass.begin((args, kwargs))

    def _leave(self, module: nn.Module, args: Arguments, output: Any) -> None:
        if self._pass is not None and self._pass.depth:
            self._pass.end(output)

    def _new_pass(self) -> TracedPass:
        return TracedPass(
            self.model, self._plan, self._known, self._scale(), is_first=not self.looks
        )

    def _is_settled(self) -> bool:
        """Whether the pass to look at has been made: one whose gradients came, and are there."""
        if all(parameter.grad is None for parameter in self.model.parameters()):
            self.loss.forget()
            return False
        return self._pass is not None and self._pass.is_reached

    def _before_step(self, optimizer: Any, args: Arguments, kwargs: Options) -> Any:
        if not self.is_due:
            return None
        closure = closure_in(args, kwargs)
        if closure is not None:
            return with_closure(args, kwargs, self._evaluating(closure))
        self._look()
        return None

    def _evaluating(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def evaluate() -> Any:
            loss = closure()
            if self.is_due:
                self._look()
            return loss

        return evaluate

    def _after_step(self, optimizer: Any, args: Arguments, kwargs: Options) -> None:
        if self._before is not None:
            self.curves["update per step"].append(self._weights.typical_move(self._before))
        self._before = None
        self.steps += 1
        if self.steps % self.every == 0:
            self._await()

    @torch.no_grad()
    def _look(self) -> None:
        """The gradients are there and the step is about to be taken."""
        self._rest()
        # Fused optimisers divide by the scale themselves, within the step.
        left = getattr(self.optimizer, "grad_scale", None)
        if self._weights.is_outdated:
            # A model that grows has come no way since it did.
            self._weights = SampledWeights(self.model)
        self._before = self._weights.take()
        if self.looks.wants_next:
            loss, norm = self._look_in_full(self._before, left)
        else:
            loss, norm = glance(self.model, self.loss.parts(self._scale()), left)
            self.looks.skip()
        self.losses.append(loss)
        self.curves["gradient norm"].append(norm)

    def _look_in_full(self, weights: Array, left: Tensor | None) -> tuple[float | None, float]:
        seen, self._pass = self._pass or self._new_pass(), None
        slots = {name: seen.put(p, left) for name, p in self.model.named_parameters()}
        reading = seen.finish(slots, self.loss.parts(seen.scale))
        self._note(seen, reading)
        moved = self._weights.moved(weights) if self.steps else {}
        self.looks.add(TrainingLook(step=self.steps, reading=reading, movement=moved))
        return reading.loss, reading.gradient_norm

    def _note(self, seen: TracedPass, reading: Reading) -> None:
        if not set(reading.slots) <= set(self.parameters):
            self.parameters = self.parameters | describe_parameter(self.model, seen.tracer)
        if not reading.nodes:
            self.not_observed.add(UNCALLED if self._can_trace else UNTRACED)
        elif self._known is None:
            self._known = reading.recorder.layers_before_nonlinearities()
        self.not_observed |= reading.not_observed

    def _scale(self) -> Tensor | None:
        """By what the scaler multiplies now, still on the device."""
        if self.scaler is None:
            return None
        device = next(self.model.parameters()).device
        scale: Tensor = self.scaler.scale(torch.ones((), device=device))
        return scale


def _hook(called: nn.Module, method: Callable[..., None]) -> Callable[..., None]:
    """A hook for one module. Copies of it, such as averages, share it: a function is not copied."""

    def hook(module: nn.Module, *call: Any) -> None:
        # First of all: compiled code would be made anew whenever something else changes.
        if not torch.compiler.is_compiling() and module is called:
            method(module, *call)

    return hook


def _is_traced_by_others() -> bool:
    modes = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    return any(isinstance(mode, OperatorMode) for mode in modes)
