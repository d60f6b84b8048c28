"""The forms of a batch: which of its parts the model gets, and what is left for the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from pytest_initcheck.capture.hints import seen
from pytest_initcheck.capture.program import TARGET_NAMES
from pytest_initcheck.capture.tree import tensors_of
from pytest_initcheck.capture.whole import Whole, fields_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs.signature import Takes, forward_of

# An optional "y" is as often a condition as a target.
_FOR_LOSS = tuple(name for name in TARGET_NAMES if name != "y")
# What an argument is called that is no tensor but holds several.
_OBJECTS = frozenset(
    {"batch", "data", "sample", "samples", "example", "examples", "item", "items", "record"}
)


@dataclass(frozen=True)
class Arranged:
    """A batch as (inputs, targets), a mapping or inputs alone; what was made of it, what was not.

    ``spread``: the targets are several, which the loss takes one after the other.
    """

    batch: Any
    told: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    spread: bool = False


def arranged(batch: Any, model: nn.Module, loss_takes: Takes | None) -> Arranged:
    """The batch in a form that a program calls the model on.

    ``loss_takes`` is what the loss takes by place, None where none was passed.

    Raises:
        InitcheckError: it has a form in which it cannot be told what the model gets.
    """
    if batch is None or (isinstance(batch, (tuple, list, Mapping)) and not batch):
        raise InitcheckError(f"the batch is {seen(batch)} without data; pass (inputs, targets)")
    asked = forward_of(model)
    found = _with_tensors(batch)
    form = _form(found.batch, asked, loss_takes)
    return replace(form, told=(*found.told, *form.told))


def _form(batch: Any, asked: Takes | None, loss_takes: Takes | None) -> Arranged:
    if isinstance(batch, PackedSequence):
        return Arranged(((batch,), None))
    if isinstance(batch, (tuple, list)) and batch and all(isinstance(v, Mapping) for v in batch):
        return _samples(batch, asked)
    named = fields_of(batch)
    if (named and len(named) != 2) or isinstance(batch, Mapping) or _is_record(batch):
        return _named(batch, named, asked)
    if not isinstance(batch, (tuple, list)):
        return Arranged(batch)
    while len(batch) > 2 and batch[-1] is None:
        batch = batch[:-1]
    if len(batch) == 1:
        return _form(batch[0], asked, loss_takes)
    if len(batch) == 2:
        without_targets = loss_takes is None or loss_takes.most == 1
        return _pair(batch, asked, without_targets=without_targets)
    return _several(batch, asked, loss_takes)


def _is_record(batch: Any) -> bool:
    return bool(fields_of(batch)) and not isinstance(batch, tuple)


def _named(batch: Any, named: dict[str, Any], asked: Takes | None) -> Arranged:
    """Fields by name: the model's own arguments, or one object that it takes whole."""
    if asked is None or asked.takes_any_name:
        return Arranged(batch if isinstance(batch, Mapping) else named)
    target = next((name for name in TARGET_NAMES if name in named), None)
    data = [name for name in named if name not in TARGET_NAMES]
    known = set(asked.names) | set(asked.needs_by_name)
    needed = {*asked.names[: asked.required], *asked.needs_by_name}
    if needed <= set(named) and known & set(data):
        return _by_name(batch, named, [name for name in data if name not in known])
    kind, is_single = type(batch).__name__, asked.required == 1
    if is_single and target and len(data) == 1 and asked.names[0] not in _OBJECTS:
        told = f"batch: of a {kind}, {data[0]!r} as inputs and {target!r} as targets"
        return Arranged((named[data[0]], named[target]), (told,))
    if isinstance(batch, tuple) and target:
        return _several(tuple(batch), asked, None)
    if is_single:
        return Arranged(Whole(batch), (f"batch: a {kind} as one argument, {asked.names[0]!r}",))
    return Arranged(batch if isinstance(batch, Mapping) else named)


def _by_name(batch: Any, named: dict[str, Any], extra: list[str]) -> Arranged:
    left = tuple(f"batch[{name!r}]" for name in extra)
    if isinstance(batch, Mapping) and not extra:
        return Arranged(batch)
    told = f"batch: the fields of a {type(batch).__name__}, by name"
    return Arranged({k: v for k, v in named.items() if k not in extra}, (told,), left)


def _pair(batch: Sequence[Any], asked: Takes | None, *, without_targets: bool) -> Arranged:
    inputs, targets = batch
    if isinstance(inputs, PackedSequence):
        return Arranged(((inputs,), targets))
    if isinstance(inputs, tuple) and len(inputs) > 1 and asked is not None and asked.most == 1:
        told = f"batch: its {len(inputs)} inputs as one argument, {asked.names[0]!r}"
        return Arranged(((inputs,), targets), (told,))
    if not without_targets or asked is None or targets is None or isinstance(inputs, Mapping):
        return Arranged((inputs, targets))
    spread = list(inputs) if isinstance(inputs, tuple) else [inputs]
    names = asked.names
    if len(spread) < len(names) and (
        names[len(spread)] in _FOR_LOSS
        or (names[len(spread)] == "y" and asked.required > len(spread))
    ):
        given = dict(zip(names, [*spread, targets], strict=False))
        return Arranged(given)
    if asked.required == 2 and len(spread) == 1 and not isinstance(inputs, list):
        return Arranged((tuple(batch), None), ("batch: both items as inputs",))
    return Arranged((inputs, targets))


def _several(batch: Sequence[Any], asked: Takes | None, loss_takes: Takes | None) -> Arranged:
    """More than two items: as many as the forward needs are inputs, the rest is for the loss."""
    count = len(batch)
    if asked is None:
        raise _unclear(batch)
    least, most = asked.required, asked.most
    wanted = loss_takes.required - 1 if loss_takes is not None and loss_takes.required > 2 else 0
    if wanted and least <= count - wanted <= most:
        rest = count - wanted
        told = f"batch: {rest} of {count} items as inputs, the others as targets"
        return Arranged((_one_or_all(batch[:rest]), tuple(batch[rest:])), (told,), spread=True)
    is_named = len(asked.names) >= count and asked.names[count - 1] in TARGET_NAMES
    if least == count or is_named or (least == 0 and most >= count):
        return _all(batch, asked)
    if most >= count - 1 >= 1 and (least > 1 or most >= 2):
        told = f"batch: the first {count - 1} of {count} items as inputs, the last as targets"
        return Arranged((tuple(batch[:-1]), batch[-1]), (told,))
    if most == 1:
        left = tuple(f"item {place + 1} of the batch" for place in range(2, count))
        told = f"batch: the first of {count} items as inputs, the second as targets"
        return Arranged((batch[0], batch[1]), (told,), left)
    raise _unclear(batch)


def _all(batch: Sequence[Any], asked: Takes) -> Arranged:
    told = (f"batch: all {len(batch)} items as inputs",)
    if len(asked.names) >= len(batch):
        return Arranged(dict(zip(asked.names, batch, strict=False)), told)
    return Arranged((tuple(batch), None), told)


def _one_or_all(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else tuple(items)


def _unclear(batch: Sequence[Any]) -> InitcheckError:
    return InitcheckError(
        f"the batch is a {type(batch).__name__} of {len(batch)} items, and which of them the model "
        "takes cannot be told; pass (inputs, targets), where inputs may itself be a tuple, or a "
        "mapping, or one tensor"
    )


def _samples(batch: Sequence[Mapping[str, Any]], asked: Takes | None) -> Arranged:
    """A list of mappings: samples to be stacked where the model knows their names, else whole."""
    keys = list(batch[0])
    known = set(asked.names) if asked is not None else set()
    if not keys or not (set(keys) & known):
        return Arranged(((batch,), None), ("batch: a list of mappings as one argument",))
    stacked = {key: _stacked(key, [sample[key] for sample in batch]) for key in keys}
    return Arranged(stacked, (f"batch: {len(batch)} samples, stacked by name",))


def _stacked(key: str, values: list[Any]) -> Tensor:
    tensors = [torch.as_tensor(value) for value in values]
    if len({tensor.shape for tensor in tensors}) > 1:
        sizes = sorted({tuple(tensor.shape) for tensor in tensors})
        raise InitcheckError(
            f"the samples of the batch differ in the shape of {key!r} ({sizes[0]} and {sizes[-1]});"
            " pad them first, for example batch=tokenizer.pad(samples, return_tensors='pt')"
        )
    return torch.stack(tensors)


def _with_tensors(batch: Any) -> Arranged:
    """The batch with arrays, and the lists of a tokenizer, as tensors where it holds none."""
    if tensors_of(batch) or isinstance(batch, PackedSequence):
        return Arranged(batch)
    if isinstance(batch, Mapping):
        made = {key: _tensor(value) for key, value in batch.items()}
        is_new = any(made[key] is not batch[key] for key in made)
        return Arranged(made, ("batch: its lists as tensors",)) if is_new else Arranged(batch)
    if isinstance(batch, (tuple, list)) and any(hasattr(v, "__array__") for v in batch):
        return Arranged(tuple(_tensor(v) for v in batch), ("batch: its arrays as tensors",))
    if hasattr(batch, "__array__"):
        return Arranged(_tensor(batch), ("batch: an array as a tensor",))
    return Arranged(batch)


def _tensor(value: Any) -> Any:
    if not isinstance(value, list) and not hasattr(value, "__array__"):
        return value
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InitcheckError(
            f"the batch holds a {type(value).__name__} that is no tensor and makes none "
            f"({str(error)[:100]}); pass tensors, of a tokenizer with return_tensors='pt' and "
            "padding=True"
        ) from None
