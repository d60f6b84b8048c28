"""Whether what is predicted for a sample depends on its place in the batch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.dependence.change import inputs_of
from pytest_initcheck.dependence.passes import NotAsked, Passes, PassResult

# Of the largest output: rounding that differs from row to row, carried through many layers.
_ROUNDING = 1e-4
ARE_STEPS = "place in the batch: the rows may be the steps of one sequence"
# A few units in the last place of single precision.
_SHAKE = 1e-6
# What is counted by row moves nearly all of them; chunks, halves and capacities those at an edge.
_MOST = 0.5


def is_placed(passes: Passes, reference: PassResult, count: int) -> bool:
    """Whether samples get other outputs once each has changed places with its neighbour.

    Args:
        passes: The passes through the program.
        reference: What it gave for the batch as it is.
        count: How many samples the batch has, along axis 0 of all its tensors.

    Raises:
        NotAsked: a tensor of the batch has no row for each sample, as the edges of a graph; the
            rows may be the steps of one sequence; the model has a row of weights for each sample,
            keeps something of each, or draws numbers; or no output has a row for each.
    """
    program, tensors = passes.program, with_rows(passes.program, count)
    order = neighbours(count)
    swapped = {place: tensor[order.to(tensor.device)] for place, tensor in tensors.items()}
    axes, kept = axes_of(reference, count), list[str]()
    seen = passes.changed(swapped, _watched(program.model, count, kept))
    if not all(_differ(reference, seen, order, chosen) for chosen in axes):
        return False
    if kept:
        raise NotAsked("place in the batch: the model keeps something of each sample")
    with preserved(program.model, program.loss_fn, program.forward):
        _reseed(program.model)
        again = passes.changed(swapped)
    if seen.main is None or again.main is None or not torch.equal(seen.main, again.main):
        raise NotAsked("place in the batch: the model draws numbers")
    shaken = passes.changed({place: _shaken(tensor) for place, tensor in tensors.items()})
    if all(_differ(reference, shaken, torch.arange(count), chosen) for chosen in axes):
        raise NotAsked("place in the batch: the model magnifies rounding")
    return True


def with_rows(program: Program, count: int) -> dict[str, Tensor]:
    """The tensors of a batch whose samples may change places.

    Raises:
        NotAsked: they may not, or what comes of it tells nothing.
    """
    tensors = {place: t for place, t in named_tensors(program.batch) if t.dim()}
    if any(t.layout != torch.strided or t.shape[0] != count for t in tensors.values()):
        raise NotAsked("place in the batch: not all tensors have a row for each sample")
    if not any(_holds_sequences(t) for t in inputs_of(program.batch).values()):
        raise NotAsked(ARE_STEPS)
    if _has_codes(program.model, count):
        raise NotAsked("place in the batch: the model has weights for each sample")
    return tensors


def _shaken(tensor: Tensor) -> Tensor:
    """The tensor with noise of the size of rounding, which kernels give rows by their place."""
    if not tensor.is_floating_point():
        return tensor
    signs = torch.randint(2, tensor.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return tensor * (1 + _SHAKE * signs.to(tensor))


def _holds_sequences(tensor: Tensor) -> bool:
    """Whether a row is more than one step of features: it has steps of its own."""
    return tensor.dim() > 2 or (tensor.dim() == 2 and not tensor.is_floating_point())


def neighbours(count: int) -> Tensor:
    """Each place beside its neighbour's; an odd one at the end stays."""
    order = torch.arange(count) ^ 1
    return order.clamp(max=count - 1)


def _has_codes(model: nn.Module, count: int) -> bool:
    """Whether a table of weights, and no layer's, has one row for each sample of this batch."""
    for module in model.modules():
        is_table = isinstance(module, nn.Embedding) or not type(module).__module__.startswith(
            "torch.nn"
        )
        own = module.parameters(recurse=False) if is_table else ()
        if any(p.dim() and p.shape[0] == count and p.requires_grad for p in own):
            return True
    return False


@contextmanager
def _watched(model: nn.Module, count: int, kept: list[str]) -> Iterator[None]:
    """Notes which tensors of the model with a row for each sample a pass writes."""
    before = {key: tensor.clone() for key, tensor in _held(model, count)}
    yield
    after = dict(_held(model, count))
    kept += [
        name
        for (name, place), tensor in after.items()
        if (name, place) not in before or not torch.equal(before[name, place], tensor)
    ]


def _held(model: nn.Module, count: int) -> Iterator[tuple[tuple[str, str], Tensor]]:
    for name, module in model.named_modules():
        values = {**vars(module), **module._buffers}
        for place, value in values.items():
            if isinstance(value, Tensor) and count in value.shape:
                yield (name, place), value.detach()


def _reseed(model: nn.Module) -> None:
    """Other numbers from every source that a model may draw from; the caller puts them back."""
    torch.manual_seed(torch.initial_seed() + 1)
    random.seed(random.random())
    np.random.seed(random.getrandbits(32))
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Generator):
                value.manual_seed(value.initial_seed() + 1)


def axes_of(seen: PassResult, count: int) -> list[list[int]]:
    """The axes of the output that may count the samples, each alone and all together."""
    main = seen.main
    if main is None or main.dtype not in (torch.float32, torch.float64):
        raise NotAsked("place in the batch: no output of numbers")
    axes = [axis for axis, size in enumerate(main.shape) if size == count]
    if not axes or not bool(main.isfinite().all()):
        raise NotAsked(f"place in the batch: no {count} rows of finite outputs")
    return [[axis] for axis in axes] + ([axes] if len(axes) > 1 else [])


def _differ(before: PassResult, after: PassResult, order: Tensor, axes: list[int]) -> bool:
    """Whether most rows are other ones, once they are moved along axes as the samples were."""
    if before.main is None or after.main is None or before.main.shape != after.main.shape:
        raise NotAsked("place in the batch: the output has another shape")
    wanted = before.main
    for axis in axes:
        wanted = wanted.index_select(axis, order.to(wanted.device))
    step = (wanted - after.main).abs().movedim(axes[0], 0).flatten(1)
    rows = step.amax(1) if step.numel() else step.new_zeros(1)
    return float((rows > _ROUNDING * wanted.abs().max()).float().mean()) >= _MOST
