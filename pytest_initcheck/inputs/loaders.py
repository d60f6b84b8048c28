"""The first batch of a loader, whose state is put back."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pytest_initcheck.capture.program import refused
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.capture.whole import fields_of
from pytest_initcheck.errors import InitcheckError

_PARTS = ("sampler", "batch_sampler", "dataset")


def first_batch(batch: Any) -> tuple[Any, str]:
    """A batch, and where it was taken from; "" where it was passed itself.

    Raises:
        InitcheckError: a data set, or a loader without a batch; the message says what to pass.
    """
    if isinstance(batch, DataLoader):
        return _of_loader(batch), f"batch: the first of a {type(batch).__name__}"
    if is_dataset(batch):
        raise InitcheckError(
            f"batch is a {type(batch).__name__}{_length(batch)}, a data set and no batch of it; "
            "pass batch=DataLoader(dataset, batch_size=32), whose first batch is taken"
        )
    if not is_iterable_of_batches(batch):
        return batch, ""
    name = type(batch).__name__
    used = ", which has one less now" if isinstance(batch, Iterator) else ""
    with isolated():
        return _next(iter(batch), name), f"batch: the first of a {name}{used}"


def is_dataset(value: Any) -> bool:
    """Whether it is a data set: torch's, or one of the library datasets."""
    return isinstance(value, Dataset) or (
        hasattr(value, "column_names") and hasattr(value, "__getitem__")
    )


def is_iterable_of_batches(value: Any) -> bool:
    """Whether it yields batches, and is none itself."""
    if isinstance(value, (Tensor, Mapping, tuple, list, str, bytes)) or fields_of(value):
        return False
    is_data = hasattr(value, "__array__") or hasattr(value, "keys")
    holds = any(isinstance(item, Tensor) for item in getattr(value, "__dict__", {}).values())
    return hasattr(value, "__iter__") and not is_data and not holds


def _of_loader(loader: Any) -> Any:
    # A copy leaves workers that are running where they are, and starts none.
    own = copy.copy(loader)
    own.__dict__.update(num_workers=0, timeout=0, _iterator=None)
    with isolated(), _kept(loader):
        return _next(iter(own), type(loader).__name__)


def _next(iterator: Iterator[Any], name: str) -> Any:
    try:
        return next(iterator)
    except StopIteration:
        raise InitcheckError(
            f"the {name} yields no batch; pass one with data (drop_last=True drops a short one)"
        ) from None
    except Exception as error:
        wanted = "a batch itself: its first one cannot be made here, in this process"
        raise refused(f"the {name}", error, wanted) from error


@contextmanager
def _kept(loader: Any) -> Iterator[None]:
    """Put the generators and plain attributes of a loader's parts back."""
    parts = [loader, *(getattr(loader, name, None) for name in _PARTS)]
    parts.append(getattr(loader.batch_sampler, "sampler", None))
    holders = [part for part in parts if hasattr(part, "__dict__")]
    attributes = [(part, dict(vars(part))) for part in holders]
    values = [value for _, known in attributes for value in known.values()]
    states = [(v, v.get_state()) for v in values if isinstance(v, torch.Generator)]
    try:
        yield
    finally:
        for part, known in attributes:
            vars(part).clear()
            vars(part).update(known)
        for generator, state in states:
            generator.set_state(state)


def _length(dataset: Any) -> str:
    try:
        return f" of {len(dataset)} samples"
    except TypeError:
        return ""
