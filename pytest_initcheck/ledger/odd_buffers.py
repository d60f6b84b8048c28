"""Looks at the values of buffers: running statistics, tables of frequencies, masks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pytest_initcheck.evidence.buffers import OddBuffer, Role, role_of

# Of a table as many values are looked at, of a mask as many positions.
_VALUES, _POSITIONS = 1 << 16, 64
# What is added to hide a position: an exponential of it is nothing beside that of any logit.
_HIDDEN = -1e3


def odd_buffers(model: nn.Module) -> tuple[OddBuffer, ...]:
    """The buffers of a model whose values cannot be meant so."""
    buffers = list(_looked_at(model))
    with torch.no_grad():
        if _rest_all(
            [(name, values) for *_, name, values, role in buffers if role == "statistics"]
        ):
            buffers = [one for one in buffers if one[-1] != "statistics"]
        return tuple(
            OddBuffer(
                name=f"{layer}.{name}" if layer else name,
                layer=layer,
                role=role,
                why=why,
                is_broken=is_broken,
            )
            for layer, module, name, values, role in buffers
            for why, is_broken in _anomalies(module, name, values, role)
        )


def _looked_at(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor, Role]]:
    """Masks, and what holds floating numbers."""
    for layer, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and _is_plain(buffer):
                role = buffer_role(name, buffer)
                if role == "mask" or buffer.is_floating_point():
                    yield layer, module, name, buffer.detach(), role


def _rest_all(statistics: list[tuple[str, Tensor]]) -> bool:
    """Whether all running statistics are where they begin: told of many at once."""
    for rest in (0.0, 1.0):
        values = [tensor.reshape(-1) for name, tensor in statistics if _rest(name) == rest]
        if len({(one.dtype, one.device) for one in values}) > 1:
            return False
        if values and bool((torch.cat(values) != rest).any()):
            return False
    return True


def buffer_role(name: str, buffer: Tensor) -> Role:
    """What the buffer is for, by its name and shape; of one with values."""
    shape = buffer.shape
    if name == "bias" and buffer.is_floating_point() and not bool(buffer.any()):
        # A bias of relative positions that starts at zero.
        return ""
    is_square = (
        len(shape) > 1 and shape[-1] == shape[-2] > 1 and all(size == 1 for size in shape[:-2])
    )
    return role_of(name, len(shape), is_square=is_square)


def _is_plain(buffer: Tensor) -> bool:
    is_dense = buffer.layout == torch.strided and not buffer.is_quantized
    return is_dense and not buffer.is_meta and buffer.numel() > 0 and not buffer.is_complex()


def _anomalies(
    module: nn.Module, name: str, values: Tensor, role: Role
) -> Iterator[tuple[str, bool]]:
    if role == "mask":
        yield from _of_mask(_seen(values))
        return
    if role == "statistics" and bool((values == _rest(name)).all()):
        return
    sample = values.reshape(-1)
    sample = sample[:: max(sample.numel() // _VALUES, 1)]
    if bool(sample.isnan().any()):
        yield "it holds NaN", True
    elif role == "statistics":
        yield from _of_statistics(module, name, values)
    elif role == "table":
        yield from _of_table(sample)


def _of_statistics(module: nn.Module, name: str, values: Tensor) -> Iterator[tuple[str, bool]]:
    rest = _rest(name)
    # One dead channel of a trained model has no variance; not all of them.
    is_spread = not rest or (bool((values >= 0).all()) and bool(values.any()))
    if not bool(values.isfinite().all()) or not is_spread:
        yield "a variance is no variance" if rest else "a mean is not finite", True
    elif isinstance(module, _NormBase) and bool((values != rest).any()):
        seen = module.num_batches_tracked
        if seen is None or not bool(seen):
            yield f"it is not {rest:g}, although no batch has been seen", False


def _rest(name: str) -> float:
    """Where a running statistic begins."""
    return 1.0 if name.endswith("var") else 0.0


def _of_table(sample: Tensor) -> Iterator[tuple[str, bool]]:
    if not bool(sample.isfinite().all()):
        yield "it holds infinities", True
    elif sample.numel() > 1 and bool((sample == sample[0]).all()):
        yield f"all of it is {float(sample[0]):.4g}: it tells no position from another", False


def _seen(values: Tensor) -> Tensor:
    """Some positions of the mask, the first and neighbours among them."""
    square = values.reshape(values.shape[-2:])
    step = max(len(square) // _POSITIONS, 1)
    return square[::step, ::step]


def _of_mask(mask: Tensor) -> Iterator[tuple[str, bool]]:
    is_additive = mask.is_floating_point() and bool((mask <= _HIDDEN).any())
    marked = mask <= _HIDDEN if is_additive else mask != 0
    if mask.is_floating_point() and bool(mask.isnan().any()):
        yield "it holds NaN", True
    elif bool(marked.all()) or not bool(marked.any()):
        yield "it is the same for all pairs of positions: it hides all of them, or none", False
    elif not is_additive and not _is_binary(mask):
        return
    else:
        yield from _of_triangle(marked, is_additive=is_additive)


def _is_binary(mask: Tensor) -> bool:
    return mask.dtype == torch.bool or bool(((mask == 0) | (mask == 1)).all())


def _of_triangle(marked: Tensor, *, is_additive: bool) -> Iterator[tuple[str, bool]]:
    """A triangle marks what may be seen, itself included, or what may not, itself excluded.

    Marked otherwise, either every position sees what comes after it, or the first sees nothing.
    """
    ones, first = torch.ones_like(marked), int(not bool(marked.diagonal().all()))
    is_upper = torch.equal(marked, ones.triu(first))
    is_lower = torch.equal(marked, ones.tril(-first))
    if (is_upper and not first) or (is_lower and (first or is_additive)):
        yield "it is turned round: positions see what comes after, or the first nothing", False
