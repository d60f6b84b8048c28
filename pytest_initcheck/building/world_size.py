"""The same start for any number of processes: built by jobs of one rank and of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.building.compare_tensors import Unlike, tensors_of
from pytest_initcheck.building.materialise import LAZY
from pytest_initcheck.building.ways import Building, room_of
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.fingerprint import Fingerprints
from pytest_initcheck.distributed.agreement import agreement, is_uniform
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.agreement import Pair
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.ledger import build
from pytest_initcheck.ranks.dtensors import reshard, whole
from pytest_initcheck.ranks.local_job import on_ranks
from pytest_initcheck.ranks.ranks import ranks_of
from pytest_initcheck.training.forks import no_fork


@dataclass(frozen=True, kw_only=True)
class TensorDigest:
    """A whole tensor: its kind, shape and digest, the share of it that is NaN, its mean and
    deviation, and whether its rows or columns are all equal."""

    kind: str
    shape: tuple[int, ...]
    digest: str
    unwritten: float
    mean: float
    std: float
    is_uniform: bool


@dataclass(frozen=True, kw_only=True)
class JobStart:
    """How a model starts on all ranks of a job together, and what they disagree in."""

    tensors: dict[str, TensorDigest]
    unequal: tuple[Pair, ...] = ()
    repeated: tuple[Pair, ...] = ()


def by_world_size(building: Building) -> Iterator[Unlike]:
    """Built by one rank, and by several."""
    (alone,) = _job(1, lambda rank: _start(building, 1))
    starts = _job(building.ranks, lambda rank: _start(building, building.ranks))
    together, *_ = starts
    tensors = {name: _fullest(name, starts) for name in together.tensors}
    sizes = f"world sizes 1 and {building.ranks}"
    for name in sorted(alone.tensors.keys() | tensors.keys()):
        one, other = alone.tensors.get(name), tensors.get(name)
        why = _why(one, other, sizes)
        known = one or other
        if why and known is not None:
            yield Unlike(name=name, kind=known.kind, why=why)
    for pair in together.unequal:
        why = f"ranks {_both(pair)} hold the same part of it, with other values"
        yield Unlike(name=pair.name, kind="parameter", why=why)
    yield from _other_buffers(starts)
    for pair in together.repeated:
        one, other = alone.tensors.get(pair.name), tensors.get(pair.name)
        if one and other and one.digest == other.digest:
            # It repeats itself in one process as well.
            continue
        why = f"ranks {_both(pair)} hold other parts of it, with the same values"
        yield Unlike(name=pair.name, kind="parameter", why=why)


def _fullest(name: str, starts: list[JobStart]) -> TensorDigest:
    """The tensor as the first rank has it, with the largest share that a rank never wrote."""
    held = [start.tensors[name] for start in starts if name in start.tensors]
    return replace(held[0], unwritten=max(one.unwritten for one in held))


def _other_buffers(starts: list[JobStart]) -> Iterator[Unlike]:
    """Buffers that the ranks do not hold alike; parameters are compared as replicas."""
    first, *others = starts
    for name, held in first.tensors.items():
        for rank, start in enumerate(others, 1):
            other = start.tensors.get(name)
            if held.kind == "buffer" and other is not None and other.digest != held.digest:
                why = f"ranks 0 and {rank} hold it with other values"
                yield Unlike(name=name, kind=held.kind, why=why)
                break


def by_stages(building: Building) -> Iterator[Unlike]:
    """Built by each rank for itself, as the stages of a pipeline: no two draw the same values."""
    stages = _job(building.ranks, lambda rank: _stage(building))
    for (one, mine), (other, theirs) in combinations(enumerate(stages), 2):
        for name, held in mine.tensors.items():
            for twin, copy in theirs.tensors.items():
                if _is_twin(held, copy) and _role(name) == _role(twin):
                    why = f"stage {one} draws the values that {twin} has in stage {other}"
                    yield Unlike(name=name, kind=held.kind, why=why)


def _job(size: int, work: Callable[[int], JobStart]) -> list[JobStart]:
    refusal = no_fork(torch.device("cpu"), goes_backward=False)
    if refusal is not None:
        raise InitcheckError(
            f"a job of {size} ranks cannot be started here: {refusal}; run this test where torch "
            "sees the CPU alone, on Linux"
        )
    return on_ranks(size, work, goes_backward=False)


def _start(building: Building, size: int) -> JobStart:
    model, facts = _built(building)
    if size == 1:
        return JobStart(tensors=_tensors(model, facts))
    found = agreement(model, ranks_of(range(size)))
    return JobStart(tensors=_tensors(model, facts), unequal=found.unequal, repeated=found.repeated)


def _stage(building: Building) -> JobStart:
    return JobStart(tensors=_tensors(*_built(building)))


def _built(building: Building) -> tuple[nn.Module, ConstructionFacts]:
    # What nothing writes to is NaN then, wherever memory is taken.
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, facts = build(building.model)
    if not isinstance(model, nn.Module):
        raise InitcheckError(
            f"the factory returned a {type(model).__name__}; let it return the nn.Module"
        )
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise InitcheckError(LAZY)
    reshard(model)
    return model, facts


def _tensors(model: nn.Module, facts: ConstructionFacts) -> dict[str, TensorDigest]:
    known = {built.name: built.unwritten for built in facts.tensors if built.is_known}
    room = room_of(facts)
    return {
        name.removeprefix("module."): _held(tensor, kind, known.get(name))
        for name, (tensor, kind) in tensors_of(model).items()
        if name not in room
    }


def _held(tensor: Tensor, kind: str, unwritten: float | None) -> TensorDigest:
    """``unwritten`` is the share that the ledger knows of; None where it knows none."""
    if tensor.is_meta:
        shape = tuple(tensor.shape)
        return TensorDigest(
            kind=kind, shape=shape, digest="", unwritten=1.0, mean=0.0, std=0.0, is_uniform=True
        )
    values = whole(tensor)
    values = values if values.layout == torch.strided else values.to_dense()
    ledger = DeferredRead()
    marks = Fingerprints([values], ledger)
    ledger.read()
    numbers = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    numbers = numbers.double() if values.numel() else torch.zeros(1)
    share = float(numbers.isnan().float().mean()) if unwritten is None else unwritten
    return TensorDigest(
        kind=kind,
        shape=tuple(values.shape),
        digest=marks.digest(),
        unwritten=share,
        mean=float(numbers.nanmean()),
        std=float(numbers.std(correction=0)),
        is_uniform=is_uniform(values),
    )


def _why(one: TensorDigest | None, other: TensorDigest | None, sizes: str) -> str:
    """What is wrong with a tensor, "" for nothing."""
    if one is None or other is None:
        return f"only one of {sizes} has it"
    if one.shape != other.shape:
        return f"its shape is {one.shape} and {other.shape} for {sizes}"
    if other.unwritten:
        share = "all" if other.unwritten >= 1 else f"{100 * other.unwritten:.3g} %"
        return f"{share} of it never written: it is as to_empty() made it, or on the meta device"
    if one.digest == other.digest:
        return ""
    return (
        f"differs between {sizes}: mean {one.mean:.4g} and {other.mean:.4g}, "
        f"standard deviation {one.std:.4g} and {other.std:.4g}"
    )


def _both(pair: Pair) -> str:
    return f"{pair.ranks[0]} and {pair.ranks[1]}"


def _is_twin(one: TensorDigest, other: TensorDigest) -> bool:
    is_parameter = one.kind == other.kind == "parameter"
    return is_parameter and one.digest == other.digest and not one.is_uniform


def _role(name: str) -> str:
    """The name without its numbers: an embedding and the head that is tied to it are two roles."""
    return re.sub(r"\d+", "", name)
