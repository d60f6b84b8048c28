"""Runs the trials of one program, each from the same start, with the same random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.hints import for_backward
from pytest_initcheck.capture.optimizer_facts import foreign
from pytest_initcheck.capture.optimizer_step import take_step
from pytest_initcheck.capture.program import Program, refused
from pytest_initcheck.capture.restore import clear_gradients, preserved
from pytest_initcheck.evidence.learning import FITTED, SEEN, Trial
from pytest_initcheck.learning.bounds import Stakes
from pytest_initcheck.learning.course import course_of, goal_of, is_over
from pytest_initcheck.learning.plans import FitPlan
from pytest_initcheck.learning.probe import Probe, probe
from pytest_initcheck.objective.tail import Tail

# Swapping the outputs of samples costs a model that uses its inputs most of what it has gained.
_TELLING = 0.25
_AGAIN = 5


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial by its plan, and what the model was like at its end."""

    plan: FitPlan
    trial: Trial
    probe: Probe | None


class Bench:
    """A program that is trained again and again; ``tick`` is called after every step."""

    def __init__(
        self, program: Program, tail: Tail | None, stakes: Stakes, tick: Callable[[int], object]
    ) -> None:
        self.program = program
        self.tail = tail
        self.stakes = stakes
        self._tick = tick

    def evaluate(self) -> float:
        """The loss, with its gradients left in place; random numbers are the same every time."""
        clear_gradients(self.program.model.parameters())
        with preserved(), CompositeCalls(), torch.enable_grad():
            loss = self.program.evaluate().loss
            try:
                torch.autograd.backward(loss)
            except Exception as error:
                raise refused("the backward pass", error, for_backward(error)) from error
        return float(loss.detach())

    def run(self, plan: FitPlan) -> Tried:
        """Train from the start by a plan, and put everything back."""
        program = self.program
        with preserved(program.model, program.loss_fn, program.forward):
            made = plan.make(program.model)
            others = foreign(program.model, made)
            with preserved(*others):
                return self._walk(plan, made, others)

    def _walk(self, plan: FitPlan, made: torch.optim.Optimizer, others: list[Tensor]) -> Tried:
        losses: list[float] = []
        has_fitted, asked = False, -_AGAIN
        while True:
            clear_gradients(others)
            losses.append(self.evaluate())
            if self._is_low(losses[-1]) and len(losses) - asked >= _AGAIN:
                asked = len(losses)
                has_fitted = self._has_fitted(losses[-1])
            if has_fitted or self._is_over(losses, plan):
                break
            with CompositeCalls():
                take_step(made, self.program)
            self._tick(1)
        is_open = not has_fitted and math.isfinite(losses[-1])
        seen = self._probe() if is_open else None
        course = course_of(losses, self.stakes, has_fitted=has_fitted)
        trial = Trial(optimizer=plan.name, losses=tuple(losses), course=course, is_own=plan.is_own)
        return Tried(plan=plan, trial=trial, probe=seen)

    def _is_over(self, losses: list[float], plan: FitPlan) -> bool:
        if len(losses) > plan.steps:
            return True
        if not is_over(losses, self.stakes, plan.steps, is_last=plan.is_last):
            return False
        if not plan.is_last or not math.isfinite(losses[-1]):
            return True
        # A plateau at the constant prediction has an end, unless the output has lost its input.
        return (self.stakes.share(min(losses)) or 0.0) >= SEEN or self._is_blind(len(losses))

    def _is_blind(self, steps: int) -> bool:
        """Whether the output is the same for every sample; asked every few steps."""
        seen = self._probe() if steps % _AGAIN == 0 else None
        return seen is not None and seen.is_same

    def _is_low(self, loss: float) -> bool:
        goal = goal_of(self.stakes)
        return goal is not None and loss <= goal

    def _probe(self) -> Probe | None:
        with preserved(), CompositeCalls():
            return probe(self.program, self.tail)

    def _has_fitted(self, loss: float) -> bool:
        """Whether a low loss comes from the inputs and not from what is the same for all."""
        placed = self.stakes.share_of_placed(loss)
        return placed is None or placed >= FITTED or uses_inputs(self.stakes, self._probe())


def uses_inputs(stakes: Stakes, seen: Probe | None) -> bool:
    """Whether the loss rises where samples swap their outputs."""
    if seen is None or seen.swapped is None or stakes.constant is None:
        return False
    gained = stakes.constant - seen.loss
    return gained > 0 and seen.swapped - seen.loss >= _TELLING * gained
