"""The batches of all ranks as one: what a single process would have been given."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.fingerprint import Fingerprints
from pytest_initcheck.capture.tree import mapped, tensors_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.ranks import Ranks

Form = dict[str, Any]


@dataclass(frozen=True)
class Shares:
    """Which ranks hold the same part of the batch, in the order of the parts, and how many samples
    each part has."""

    groups: tuple[tuple[int, ...], ...]
    samples: tuple[int, ...]

    def times(self, rank: int) -> float:
        """How many times the samples of this rank all samples are."""
        place = next(at for at, group in enumerate(self.groups) if rank in group)
        return sum(self.samples) / max(self.samples[place], 1)


def shares_of(batch: Any, ranks: Ranks) -> Shares:
    """Which ranks were given the same data; every rank has to call this.

    Ranks that share a model's layers among them, as with tensor parallelism, get the same batch,
    and it counts once. Data that come as often as others do count once; where some come more often,
    every rank is a part of its own.

    Raises:
        InitcheckError: the batches are not of one form.
    """
    forms = [json.loads(said) for said in ranks.exchange(json.dumps(_form(batch)).encode())]
    for rank, form in enumerate(forms):
        if form["kinds"] != forms[0]["kinds"]:
            raise InitcheckError(
                f"the batches of the ranks are not of one form: rank {ranks.members[0]} has "
                f"{_said(forms[0])}, rank {ranks.members[rank]} has {_said(form)}; only the number "
                "of samples may differ"
            )
    parts: dict[str, list[int]] = {}
    for rank, form in enumerate(forms):
        parts.setdefault(form["digest"], []).append(rank)
    is_even = len({len(group) for group in parts.values()}) == 1
    groups = list(parts.values()) if is_even else [[rank] for rank in range(ranks.size)]
    samples = [forms[group[0]]["samples"] for group in groups]
    return Shares(tuple(map(tuple, groups)), tuple(samples))


def put_together(batch: Any, ranks: Ranks, shares: Shares) -> Any:
    """One batch of all parts, in the order of the ranks; every rank has to call this.

    Tensors with one row per sample are joined; of others each rank keeps its own.
    """
    if len(shares.groups) == 1:
        return batch
    own = _rows(batch)
    said = ranks.exchange(b"".join(_octets(tensor) for tensor in own))
    parts = [
        list(_read(said[group[0]], own, samples))
        for group, samples in zip(shares.groups, shares.samples, strict=True)
    ]
    joined = {id(t): torch.cat([part[i] for part in parts]) for i, t in enumerate(own)}
    return mapped(lambda t: _placed(joined[id(t)], t) if id(t) in joined else t, batch)


def _form(batch: Any) -> Form:
    tensors = tensors_of(batch)
    if not tensors or _is_unusual(batch, tensors):
        raise InitcheckError(
            "the batches of the ranks cannot be put together: a batch holds no tensors, or sparse, "
            "nested or packed ones; pass dense tensors with one row per sample"
        )
    ledger = DeferredRead()
    marks = Fingerprints(tensors, ledger)
    ledger.read()
    count = _samples(tensors)
    kinds = [
        [str(t.dtype), [-1 if d == 0 and n == count else n for d, n in enumerate(t.shape)]]
        for t in tensors
    ]
    return {"kinds": kinds, "samples": count, "digest": marks.digest()}


def _is_unusual(batch: Any, tensors: Sequence[Tensor]) -> bool:
    parts = tree_leaves(batch, is_leaf=lambda part: isinstance(part, PackedSequence))
    is_packed = any(isinstance(part, PackedSequence) for part in parts)
    return is_packed or any(t.layout != torch.strided or t.is_nested for t in tensors)


def _said(form: Form) -> str:
    shapes = (f"{kind.removeprefix('torch.')} {shape}" for kind, shape in form["kinds"])
    return ", ".join(shapes).replace("-1", "n")


def _samples(tensors: Sequence[Tensor]) -> int:
    return next((int(t.shape[0]) for t in tensors if t.dim()), 0)


def _rows(batch: Any) -> list[Tensor]:
    tensors = tensors_of(batch)
    count = _samples(tensors)
    rows = {id(t): t for t in tensors if t.dim() and t.shape[0] == count}
    return list(rows.values())


def _octets(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _read(body: bytes, like: Sequence[Tensor], samples: int) -> Iterator[Tensor]:
    """The tensors of another rank, which differ from these in the number of rows alone."""
    octets, start = torch.frombuffer(bytearray(body), dtype=torch.uint8), 0
    for tensor in like:
        shape = (samples, *tensor.shape[1:])
        size = math.prod(shape) * tensor.element_size()
        yield octets[start : start + size].clone().view(tensor.dtype).reshape(shape)
        start += size


def _placed(joined: Tensor, like: Tensor) -> Tensor:
    return joined.to(like.device).requires_grad_(like.requires_grad)
