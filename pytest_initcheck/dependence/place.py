"""Whether what is predicted for a sample depends on its place in the batch."""

from __future__ import annotations

import torch
from torch import nn

from pytest_initcheck.capture.places import named
from pytest_initcheck.dependence.passes import NotAsked, Passes, Seen

# Of the largest output: rounding that differs from row to row, carried through many layers.
_ROUNDING = 1e-4


def is_placed(passes: Passes, reference: Seen, count: int) -> bool:
    """Whether the samples get other outputs once all of them have moved to other places.

    Args:
        passes: The passes through the program.
        reference: What it gave for the batch as it is.
        count: How many samples the batch has, along axis 0 of all its tensors.

    Raises:
        NotAsked: a tensor of the batch has no row for each sample, as the edges of a graph; the
            model has a row of weights for each sample, or draws numbers; or there is no output of
            numbers with a row for each.
    """
    tensors = {place: t for place, t in named(passes.program.batch) if t.dim()}
    if any(t.layout != torch.strided or t.shape[0] != count for t in tensors.values()):
        raise NotAsked("place in the batch: not all tensors have a row for each sample")
    if _has_codes(passes.program.model, count):
        raise NotAsked("place in the batch: the model has weights for each sample")
    shift = count // 2
    rolled = {place: tensor.roll(shift, 0) for place, tensor in tensors.items()}
    axes, seen = _axes(reference, count), passes.changed(rolled)
    if not all(_differ(reference, seen, shift, chosen) for chosen in axes):
        return False
    with torch.random.fork_rng():
        torch.manual_seed(torch.initial_seed() + 1)
        again = passes.changed(rolled)
    if seen.main is None or again.main is None or not torch.equal(seen.main, again.main):
        raise NotAsked("place in the batch: the model draws numbers")
    return True


def _has_codes(model: nn.Module, count: int) -> bool:
    """Whether a table of weights has one row for each sample of this very batch."""
    return any(p.dim() > 1 and p.shape[0] == count and p.requires_grad for p in model.parameters())


def _axes(seen: Seen, count: int) -> list[list[int]]:
    """The axes of the output that may count the samples, each alone and all together."""
    main = seen.main
    if main is None or main.dtype not in (torch.float32, torch.float64):
        raise NotAsked("place in the batch: no output of numbers")
    axes = [axis for axis, size in enumerate(main.shape) if size == count]
    if not axes or not bool(main.isfinite().all()):
        raise NotAsked(f"place in the batch: no {count} rows of finite outputs")
    return [[axis] for axis in axes] + ([axes] if len(axes) > 1 else [])


def _differ(before: Seen, after: Seen, shift: int, axes: list[int]) -> bool:
    """Whether the output is another one, once it is moved along axes as the samples were."""
    if before.main is None or after.main is None or before.main.shape != after.main.shape:
        raise NotAsked("place in the batch: the output has another shape")
    wanted = before.main.roll([shift] * len(axes), axes)
    step = float((wanted - after.main).abs().max()) if wanted.numel() else 0.0
    return step > _ROUNDING * float(wanted.abs().max())
