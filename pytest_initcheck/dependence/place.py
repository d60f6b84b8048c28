"""Whether what is predicted for a sample depends on its place in the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.places import named
from pytest_initcheck.dependence.passes import NotAsked, Passes, Seen

# Of the largest output: rounding that differs from row to row, carried through many layers.
_ROUNDING = 1e-4


def is_placed(passes: Passes, count: int) -> bool:
    """Whether two equal samples get different outputs, in a batch that holds each sample twice.

    Args:
        passes: The passes through the program.
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
    twice = {place: t[torch.arange(count, device=t.device) // 2] for place, t in tensors.items()}
    seen = passes.changed(twice)
    if not all(_differs(rows) for rows in _rows(seen, count)):
        return False
    with torch.random.fork_rng():
        torch.manual_seed(torch.initial_seed() + 1)
        again = passes.changed(twice)
    if seen.main is None or again.main is None or not torch.equal(seen.main, again.main):
        raise NotAsked("place in the batch: the model draws numbers")
    return True


def _has_codes(model: nn.Module, count: int) -> bool:
    """Whether a table of weights has one row for each sample of this very batch."""
    return any(p.dim() > 1 and p.shape[0] == count and p.requires_grad for p in model.parameters())


def _rows(seen: Seen, count: int) -> list[Tensor]:
    """The output by each of its axes that may count the samples, that axis first."""
    main = seen.main
    if main is None or main.dtype not in (torch.float32, torch.float64):
        raise NotAsked("place in the batch: no output of numbers")
    axes = [axis for axis, size in enumerate(main.shape) if size == count]
    if not axes or not bool(main.isfinite().all()):
        raise NotAsked(f"place in the batch: no {count} rows of finite outputs")
    return [main.movedim(axis, 0)[: count // 2 * 2] for axis in axes]


def _differs(rows: Tensor) -> bool:
    size = float(rows.abs().max()) if rows.numel() else 0.0
    step = float((rows[0::2] - rows[1::2]).abs().max()) if rows.numel() else 0.0
    return step > _ROUNDING * size
