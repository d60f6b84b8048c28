"""Several models of one architecture with their parameters stacked, model first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.training.attributes import plain_attributes
from pytest_initcheck.training.carried import held, not_carried
from pytest_initcheck.training.history import Tally, hits
from pytest_initcheck.training.loop import EVALUATED, class_dimension
from pytest_initcheck.training.prepare import LabelledData, Prepared
from pytest_initcheck.training.tracing import traced

# Losses of every model, how many of its decisions are right (or None), its gradients.
Found = tuple[Any, ...]


class Stack:
    """The stacked models; they themselves stay as they are until `unstack`."""

    def __init__(self, prepared: Prepared, models: Sequence[nn.Module]) -> None:
        self.prepared, self.models, self.base = prepared, models, models[0]
        self.params, self.buffers = stack_module_state(list(models))
        self.memory: tuple[Tensor, Tensor] | None = None
        self.per_batch: Callable[..., Any] = vmap(self._one)
        self.per_model: Callable[..., Any] = vmap(self._one, in_dims=(0, 0, None, None))

    def _one(
        self, params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        outputs = functional_call(self.base, (params, buffers), (inputs,))
        return self.prepared.loss(outputs, targets), outputs

    @property
    def flat(self) -> list[Tensor]:
        """Parameters and buffers in one list."""
        return [*self.params.values(), *self.buffers.values()]

    @property
    def state(self) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters and buffers, in their order."""
        return list(self.params.values()), list(self.buffers.values())

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The samples at these places, until the next are asked for.

        They are written to the same memory every time: fresh pages cost more than the copy.
        """
        pair = self.prepared.train
        if self.memory is None or self.memory[1].shape[: index.ndim] != index.shape:
            self.memory = (
                pair.inputs.new_empty(*index.shape, *pair.inputs.shape[1:]),
                pair.targets.new_empty(*index.shape, *pair.targets.shape[1:]),
            )
        for source, rows in zip((pair.inputs, pair.targets), self.memory, strict=True):
            torch.index_select(source, 0, index.reshape(-1), out=rows.flatten(0, index.ndim - 1))
        return self.memory

    def step(
        self, params: list[Tensor], buffers: list[Tensor], inputs: Tensor, targets: Tensor
    ) -> Found:
        """One step of every model on its own batch (model first), without the optimiser."""
        named = dict(zip(self.params, params, strict=True))
        losses, outputs = self.per_batch(
            named, dict(zip(self.buffers, buffers, strict=True)), inputs, targets
        )
        wanted = [param for param in params if param.requires_grad]
        gradients = torch.autograd.grad(losses.sum(), wanted, allow_unused=True)
        classes = class_dimension(self.prepared, outputs, 1)
        right = None
        if classes is not None:
            right = hits(outputs.detach(), targets, classes).flatten(1).sum(-1)
        dense = (each if each is None else each.contiguous() for each in gradients)
        return losses.detach(), right, *dense

    def traced_step(self, shape: tuple[int, ...]) -> Any:
        """`step` as operators, for any stack of as many models and batches of this shape (models
        first), of `flat` and the batch; None where there is no trace."""
        copies = [each.detach().clone().requires_grad_(each.requires_grad) for each in self.flat]
        index = torch.zeros(shape, dtype=torch.long, device=self.prepared.device)
        batch = (each.clone() for each in self.rows(index))
        count = len(self.params)

        def step(*args: Tensor) -> Found:
            return self.step([*args[:count]], [*args[count:-2]], *args[-2:])

        with preserved(self.base, self.prepared.loss):
            before = self._beside_tensors()
            program = traced(step, (*copies, *batch))
            # A trace would leave out what Python notes at every step.
            return program if self._beside_tensors() == before else None

    def _beside_tensors(self) -> object:
        loss = self.prepared.loss
        held_by_loss = held(loss) if isinstance(loss, nn.Module) else None
        return plain_attributes(self.base), not_carried(self.base), held_by_loss

    @torch.no_grad()
    def evaluate(self, pair: LabelledData, prefix: str = "") -> list[dict[str, float]]:
        """Mean loss and accuracy of every model on the same samples, in evaluation mode."""
        tally = Tally()
        self.base.eval()
        rows = max(8 * EVALUATED // len(self.models), 1)
        for start in range(0, len(pair), rows):
            inputs, targets = pair.rows(slice(start, start + rows))
            losses, outputs = self.per_model(self.params, self.buffers, inputs, targets)
            targets = targets.expand(len(self.models), *targets.shape)
            tally.add(losses, outputs, targets, class_dimension(self.prepared, outputs, 1))
        self.base.train()
        return tally.means(prefix)

    @torch.no_grad()
    def unstack(self) -> None:
        """Write the trained parameters and buffers back into the models."""
        for place, model in enumerate(self.models):
            for name, parameter in model.named_parameters():
                parameter.copy_(self.params[name][place])
            for name, buffer in model.named_buffers():
                buffer.copy_(self.buffers[name][place])
