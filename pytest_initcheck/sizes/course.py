"""One model of one size from its start over some steps: how large everything is at each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pytest_initcheck.capture.optimizer_step import take_step
from pytest_initcheck.capture.program import Program, main_tensor
from pytest_initcheck.capture.randomness import seed_all
from pytest_initcheck.capture.trace import layer_of
from pytest_initcheck.sizes.contraction import Contraction
from pytest_initcheck.sizes.tap import Key, Tap

OUTPUT = "(output)"
INPUT = "(input)"
MOST_ELEMENTS = 16_384  # Elements of a weight whose movement is measured: 1 % of an RMS.


@dataclass(kw_only=True)
class Layer:
    """A product with a weight, as it was at the start: what its later looks are compared with."""

    at_start: Contraction
    made: Tensor
    weight: Tensor

    @classmethod
    def of(cls, seen: Contraction) -> Layer:
        """Of the first look; later ones write over the weight, so that it is copied."""
        return cls(at_start=seen, made=seen.made * seen.after, weight=seen.weight.detach().clone())

    def own(self, weight: Tensor) -> Tensor:
        """What a weight makes of the data of the start, less any bias."""
        return self.at_start.product(weight.detach()) * self.at_start.after


@dataclass(kw_only=True)
class Course:
    """What one model showed: a 0-dim tensor by layer, quantity and step, read once at the end."""

    values: dict[tuple[str, str, int], Tensor] = field(default_factory=dict)
    layers: dict[Key, Layer] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)
    losses: list[Tensor] = field(default_factory=list)

    def read(self) -> dict[tuple[str, str, int], float]:
        """All values as numbers, in one transfer."""
        if not self.values:
            return {}
        numbers = torch.stack([value.detach().float() for value in self.values.values()])
        return dict(zip(self.values, numbers.tolist(), strict=True))


class Follower:
    """Takes the steps and looks at each of them in the very pass that the step makes."""

    def __init__(self, program: Program, optimizer: torch.optim.Optimizer, seed: int) -> None:
        self._program, self._optimizer, self._seed = program, optimizer, seed
        self._tap = Tap(program.model)
        self._parameters = dict(program.model.named_parameters())
        self._samples: dict[str, Tensor] = {}
        self._output: Tensor | None = None
        self.course = Course()

    def follow(self, steps: int) -> Course:
        """So many steps, all on one batch and with the same random numbers in every pass."""
        for step in range(steps + 1):
            seed_all(self._seed)
            with self._tap.looking():
                result = self._program.evaluate()
            first = self._tap.first_made
            if step < steps and first is not None and first.requires_grad:
                first.register_hook(lambda grad, at=step: self._note(INPUT, "gradient", at, grad))
            with torch.no_grad():
                self._look(step, main_tensor(result.output))
            self.course.losses.append(result.loss.detach())
            if step < steps:
                self._step(step, result.loss)
        return self.course

    def _step(self, step: int, loss: Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()
        for (parameter, _), name in self.course.names.items():
            gradient = self._parameters[parameter].grad
            if gradient is not None:
                self._note(name, "gradient", step, gradient)
        take_step(self._optimizer, self._program)
        for (parameter, _), name in self.course.names.items():
            self._note_update(name, parameter, step + 1)

    def _note(self, name: str, quantity: str, step: int, tensor: Tensor) -> None:
        self.course.values[name, quantity, step] = rms(tensor)

    def _note_update(self, name: str, parameter: str, step: int) -> None:
        now = _sample(self._parameters[parameter])
        self._note(name, "update", step, now - self._samples[name])
        self._samples[name] = now

    def _look(self, step: int, output: object) -> None:
        if step == 0:
            self._begin()
        for key, layer in self.course.layers.items():
            seen = self._tap.found.get(key)
            if seen is not None and seen.made.shape == layer.made.shape:
                self._compare(self.course.names[key], layer, seen, step)
        if isinstance(output, Tensor) and output.is_floating_point():
            self._look_at_output(output.detach(), step)

    def _begin(self) -> None:
        found = self._tap.found
        self.course.names = dict(zip(found, _named(found), strict=True))
        for key, seen in found.items():
            name = self.course.names[key]
            layer = self.course.layers[key] = Layer.of(seen)
            received = 1.0 if seen.operator == "embedding" else rms(seen.rows) / abs(seen.before)
            self.course.values[name, "gain", 0] = rms(layer.own(layer.weight)) / received
            self._samples[name] = _sample(self._parameters[key[0]])

    def _compare(self, name: str, layer: Layer, seen: Contraction, step: int) -> None:
        made = seen.made * seen.after
        self._note(name, "activation", step, made)
        if step:
            self._note(name, "change", step, made - layer.made)
            self._note(name, "own change", step, layer.own(seen.weight - layer.weight))

    def _look_at_output(self, output: Tensor, step: int) -> None:
        self._note(OUTPUT, "activation", step, output)
        if self._output is None:
            self._output = output.clone()
        elif output.shape == self._output.shape:
            self._note(OUTPUT, "change", step, output - self._output)


def rms(tensor: Tensor) -> Tensor:
    """Root mean square, in single precision at least; 0-dim, on the tensor's device."""
    exact = torch.promote_types(tensor.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=exact)
    return norm / math.sqrt(max(tensor.numel(), 1))


def _sample(parameter: Tensor) -> Tensor:
    flat = parameter.detach().reshape(-1)
    every = max(1, math.ceil(flat.numel() / MOST_ELEMENTS))
    sample: Tensor = flat[::every].clone()
    return sample


def _named(keys: Iterable[Key]) -> list[str]:
    """Each by its module where that is enough to tell it from the others, else by more."""
    keys = list(keys)
    layers = [layer_of(parameter) for parameter, _ in keys]
    parameters = [parameter for parameter, _ in keys]
    names = []
    for (parameter, operator), layer in zip(keys, layers, strict=True):
        if layers.count(layer) == 1:
            names.append(layer)
        elif parameters.count(parameter) == 1:
            names.append(parameter)
        else:
            names.append(f"{parameter} ({operator})")
    return names
