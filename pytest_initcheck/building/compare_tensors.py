"""The tensors of two models side by side: equal, or drawn from one distribution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.baseline.tensors import Chance, tensor
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.tensor_stats import summarise

# The chance that one comparison of two models calls a sound one unlike.
ALPHA = 1e-6
# What a mean, a deviation and a distance of fewer values can show is not worth their error.
_FEW = 8


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """One tensor that does not start as it should; ``why`` is a clause about it.

    ``is_constructors``: the constructor alone gives it its values, and nothing of the model says
    that it can do so again.
    """

    name: str
    kind: str
    why: str
    is_constructors: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.why}"


def tensors_of(model: nn.Module) -> dict[str, tuple[Tensor, str]]:
    """Every parameter and buffer that has values, by name, with its kind."""
    parameters = {name: (p, "parameter") for name, p in model.named_parameters()}
    buffers = {name: (b, "buffer") for name, b in model.named_buffers()}
    return {k: v for k, v in {**parameters, **buffers}.items() if not is_lazy(v[0])}


def ties_of(model: nn.Module) -> dict[str, str]:
    """The further names of parameters that have several, with the first one of each."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: known for name, p in named if (known := first.setdefault(id(p), name)) != name}


def copies_of(model: nn.Module) -> dict[str, str]:
    """Frozen parameters, and buffers, that hold the values of a trained one, with its name."""
    named = {name: tensor.detach() for name, (tensor, _) in tensors_of(model).items()}
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name in trained:
        by_shape.setdefault(tuple(named[name].shape), []).append(name)
    return {
        name: other
        for name, values in named.items()
        if name not in trained and _varies(values)
        for other in by_shape.get(tuple(values.shape), ())
        if is_equal(values, named[other])
    }


def _varies(values: Tensor) -> bool:
    return values.numel() >= _FEW and bool((values != values.reshape(-1)[0]).any())


def missing_or_reshaped(a: nn.Module, b: nn.Module) -> Iterator[Unlike]:
    """Tensors that one of two models has and the other has not, or in another shape."""
    first, second = tensors_of(a), tensors_of(b)
    ties = ties_of(a) | ties_of(b)
    for name in first.keys() ^ second.keys():
        _, kind = first.get(name) or second[name]
        why = "only one of the two models has it"
        if name in ties:
            why = (
                f"it is {ties[name]} in one of the two models, and a tensor of its own in the other"
            )
        yield Unlike(name=name, kind=kind, why=why)
    for name in first.keys() & second.keys():
        one, other = first[name][0], second[name][0]
        if one.shape != other.shape:
            why = f"its shape is {tuple(one.shape)} in one and {tuple(other.shape)} in the other"
            yield Unlike(name=name, kind=first[name][1], why=why)


def common(a: nn.Module, b: nn.Module) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Name, kind and the two tensors of all that both have in one shape."""
    second = tensors_of(b)
    for name, (one, kind) in tensors_of(a).items():
        other = second.get(name)
        if other is not None and other[0].shape == one.shape:
            yield name, kind, _dense(one), _dense(other[0])


def _dense(tensor: Tensor) -> Tensor:
    return tensor.detach() if tensor.layout == torch.strided else tensor.detach().to_dense()


def is_equal(one: Tensor, other: Tensor) -> bool:
    """Bit by bit, NaN like NaN; on any devices, of any two dtypes as the wider one."""
    one, other = one.cpu(), other.cpu()
    if one.dtype != other.dtype:
        one, other = one.double(), other.double()
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def is_close(one: Tensor, other: Tensor, unit: float) -> bool:
    """Equal up to so many units relative to each value, and to the least to the largest."""
    if not one.is_floating_point():
        return is_equal(one, other)
    one, other = one.double().cpu(), other.double().cpu()
    largest = float(torch.nan_to_num(one, posinf=0.0, neginf=0.0).abs().max()) if one.numel() else 0
    return torch.allclose(one, other, rtol=unit, atol=unit * unit * largest, equal_nan=True)


def differs_in_distribution(
    name: str, one: Tensor, other: Tensor, share: float, unit: float = 0.0
) -> str:
    """What tells two drawn tensors apart by more than chance, "" for nothing.

    Numbers that differ by less than ``unit`` of the larger deviation do so by rounding.

    The tests are those of the baselines for fresh weights: mean, deviation, extremes, zeros and
    the distance of the distributions, at an error rate of `ALPHA` times ``share`` in all.
    """
    if one.numel() < _FEW:
        return ""
    ledger = DeferredRead()
    summaries = [summarise(value, ledger) for value in (one, other)]
    ledger.read()
    a, b = (summary.stats(ledger) for summary in summaries)
    # Another dtype is what was asked for.
    checks = list(tensor(name, a, replace(b, dtype=a.dtype), _chance(one.numel())))
    values = sum(check.values for check in checks)
    rounding = unit * max(a.rms or 0.0, b.rms or 0.0)
    found = [
        check.judge(ALPHA * share * check.values / max(values, 1))
        for check in checks
        if check.pair is None or abs(check.pair[0] - check.pair[1]) > rounding
    ]
    worst = max((d for d in found if d is not None), key=lambda d: d.excess, default=None)
    if worst is None:
        return ""
    what = worst.key.removeprefix(name).strip()
    return f"{what} {worst.actual} against {worst.expected}, allowed {worst.allowed}"


def _chance(n: int) -> Chance:
    return Chance(numbers=(float(n), float(n)), is_drawn=True)
