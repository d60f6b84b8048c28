"""One model of one size from its start over some steps: how large everything is at each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pytest_initcheck.capture.optimizer_step import take_step
from pytest_initcheck.capture.program import Program, Result, copied, main_tensor
from pytest_initcheck.capture.randomness import put_back, remembered
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.sizes.contraction import Contraction
from pytest_initcheck.sizes.tap import Key, Tap

OUTPUT = "(output)"
INPUT = "(input)"
_EXACT = (torch.float32, torch.float64)
MOST_ELEMENTS = 4_096  # Elements of a weight whose movement is measured: 1 % of an RMS.


@dataclass(kw_only=True)
class Layer:
    """A product with a weight, as it was at the start: what its later looks are compared with.

    ``made`` is its result, ``own`` the same without any bias.
    """

    at_start: Contraction
    made: Tensor
    own: Tensor

    @classmethod
    def of(cls, seen: Contraction) -> Layer:
        """Of the first look."""
        return cls(at_start=seen, made=seen.made * seen.after, own=own_of(seen, seen.weight))


def own_of(at_start: Contraction, weight: Tensor) -> Tensor:
    """What a weight makes of the data of the start, less any bias."""
    made: Tensor = at_start.product(weight.detach()) * at_start.after
    return made


@dataclass(kw_only=True)
class Measurements:
    """What one model showed: a tensor by layer, quantity and step, read once at the end.

    ``received`` are the data of every layer before the constants that it is multiplied with.
    """

    values: dict[tuple[str, str, int], Tensor] = field(default_factory=dict)
    received: dict[str, Tensor] = field(default_factory=dict)
    layers: dict[Key, Layer] = field(default_factory=dict)
    names: dict[Key, str] = field(default_factory=dict)
    losses: list[Tensor] = field(default_factory=list)

    def read(self) -> dict[tuple[str, str, int], float]:
        """Their root mean squares, in one transfer."""
        sizes = _rms([*self.values.values(), *self.received.values()])
        found = dict(zip(self.values, sizes, strict=False))
        for layer, received in zip(self.received, sizes[len(self.values) :], strict=True):
            made = found.pop((layer, "product", 0))
            found[layer, "gain", 0] = made / received if received else 0.0
        return found


class StepTaker:
    """Takes the steps and looks at each of them in the very pass that the step makes."""

    def __init__(self, program: Program, optimizer: torch.optim.Optimizer) -> None:
        self._program, self._optimizer = program, optimizer
        self._tap = Tap(program.model)
        self._parameters = dict(program.model.named_parameters())
        self._samples: dict[str, Tensor] = {}
        self._output: Tensor | None = None
        self.course = Measurements()

    def follow(self, steps: int) -> Measurements:
        """So many steps, all on one batch and with the same random numbers in every pass."""
        streams = list(remembered())
        for step in range(steps + 1):
            put_back(streams)
            if step < steps:
                self._step(step)
            else:
                with torch.no_grad(), self._tap.looking():
                    result = self._program.observe(copied(self._program.batch))
                self._look(step, result)
        return self.course

    def _step(self, step: int) -> None:
        with self._tap.looking():
            result = self._program.evaluate()
        first = self._tap.first_made
        if first is not None and first.requires_grad:
            first.register_hook(lambda gradient: self._note(INPUT, "gradient", step, gradient))
        self._look(step, result)
        self._optimizer.zero_grad()
        result.loss.backward()
        for (parameter, _), name in self.course.names.items():
            gradient = self._parameters[parameter].grad
            if gradient is not None:
                self._note(name, "gradient", step, _sample(gradient))
        take_step(self._optimizer, self._program)
        for (parameter, _), name in self.course.names.items():
            self._note_update(name, parameter, step + 1)

    def _note(self, name: str, quantity: str, step: int, tensor: Tensor) -> None:
        self.course.values[name, quantity, step] = tensor.detach()

    def _note_update(self, name: str, parameter: str, step: int) -> None:
        now = _sample(self._parameters[parameter])
        self._note(name, "update", step, now - self._samples[name])
        self._samples[name] = now

    @torch.no_grad()
    def _look(self, step: int, result: Result) -> None:
        self.course.losses.append(result.loss.detach())
        if step == 0:
            self._begin()
        for key, layer in self.course.layers.items():
            seen = self._tap.found.get(key)
            if seen is not None and seen.made.shape == layer.made.shape:
                self._compare(self.course.names[key], layer, seen, step)
        output = main_tensor(result.output)
        if isinstance(output, Tensor) and output.is_floating_point():
            self._look_at_output(output.detach(), step)

    def _begin(self) -> None:
        found = self._tap.found
        self.course.names = dict(zip(found, _named(found), strict=True))
        for key, seen in found.items():
            name = self.course.names[key]
            layer = self.course.layers[key] = Layer.of(seen)
            self._note(name, "product", 0, layer.own)
            self._note(name, "weight", 0, _sample(seen.weight) * seen.expected_gain)
            is_table = seen.operator == "embedding"
            one = torch.ones((), device=seen.made.device)
            self.course.received[name] = one if is_table else seen.rows / seen.before
            self._samples[name] = _sample(self._parameters[key[0]])

    def _compare(self, name: str, layer: Layer, seen: Contraction, step: int) -> None:
        made = seen.made if seen.after == 1 else seen.made * seen.after
        self._note(name, "activation", step, made)
        if step:
            self._note(name, "change", step, made - layer.made)
            self._note(name, "own change", step, own_of(layer.at_start, seen.weight) - layer.own)

    def _look_at_output(self, output: Tensor, step: int) -> None:
        self._note(OUTPUT, "activation", step, output.clone())
        if self._output is None:
            self._output = output.clone()
        elif output.shape == self._output.shape:
            self._note(OUTPUT, "change", step, output - self._output)


def _rms(tensors: list[Tensor]) -> list[float]:
    """Root mean squares, in single precision at least."""
    if not tensors:
        return []
    exact = [t if t.dtype in _EXACT else t.float() for t in tensors]
    norms = torch.stack([norm.double() for norm in torch._foreach_norm(exact)])
    counts = torch.tensor([max(t.numel(), 1) for t in tensors], dtype=torch.float64)
    return (norms.cpu() / counts.sqrt()).tolist()


def _sample(parameter: Tensor) -> Tensor:
    # The view that an operator gets is often a transposed one, which reshape would copy whole.
    is_turned = parameter.dim() == 2 and not parameter.is_contiguous()
    flat = (parameter.t() if is_turned else parameter).detach().reshape(-1)
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
