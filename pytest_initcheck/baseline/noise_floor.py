"""How far the numbers of repeated runs lie apart, and what of that the comparison tolerates."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pytest_initcheck.baseline.compare import LEAST, checks_of, error_rates
from pytest_initcheck.baseline.judge import ValueCheck
from pytest_initcheck.baseline.stored import freeze
from pytest_initcheck.records import RunRecord

Kind = Literal["metric", "loss", "tensor"]
KINDS: tuple[Kind, ...] = ("metric", "loss", "tensor")


class Spread(NamedTuple):
    """What pairs of runs did to a value: the furthest that two lie apart, the least that is
    tolerated between two (inf where none moved), and how many pairs are called changed."""

    moved: float
    tolerated: float
    changed: int
    pairs: int


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One value of a record; ``unit`` is what shares of it are shares of, None for none."""

    name: str
    kind: Kind
    value: float
    unit: float | None
    same: Spread
    other: Spread

    def share(self, distance: float) -> float:
        """A distance as a tolerance would be given: as a share, absolute where that is none."""
        return distance / self.unit if self.unit else distance


class _Seen(NamedTuple):
    check: ValueCheck
    pair: tuple[float, float]
    allowed: float
    is_changed: bool

    @property
    def distance(self) -> float:
        return abs(self.pair[0] - self.pair[1])

    @property
    def unit(self) -> float:
        size = self.check.size
        return self.distance / size if 0 < size < math.inf else 0.0

    @property
    def tolerated(self) -> float:
        return self.allowed if self.check.is_certain else max(self.allowed, LEAST * self.unit)


Seen = Mapping[str, list[_Seen]]


def noise_floor(same: Sequence[RunRecord], other: Sequence[RunRecord]) -> list[Quantity]:
    """Every number of runs that differ in nothing, and of runs that differ in their seeds.

    Metrics come first, then losses and curves, then tensors, each with what moved most on top.
    """
    sides = [_seen(runs) for runs in (same, other)]
    pairs = [math.comb(len(runs), 2) for runs in (same, other)]
    names = dict.fromkeys(name for seen in sides for name in seen)
    found = [_quantity(name, sides, pairs) for name in names]
    return sorted(found, key=lambda q: (KINDS.index(q.kind), -q.share(q.other.moved)))


def _seen(runs: Sequence[RunRecord]) -> Seen:
    found: dict[str, list[_Seen]] = defaultdict(list)
    for expected, actual in itertools.combinations([freeze(run) for run in runs], 2):
        checks, _ = checks_of(actual, expected)
        rates = error_rates(checks)
        for check in checks:
            found[check.key] += _numbers(check, rates[check.group])
    return {name: seen for name, seen in found.items() if seen}


def _numbers(check: ValueCheck, rate: float) -> Iterator[_Seen]:
    if check.pair is not None and check.allowed is not None:
        is_changed = check.judge(rate) is not None and not check.is_small(LEAST)
        yield _Seen(check, check.pair, check.allowed(rate), is_changed)


def _quantity(name: str, sides: Sequence[Seen], pairs: Sequence[int]) -> Quantity:
    every = [one for side in sides for one in side.get(name, ())]
    same, other = (_spread(side.get(name, ()), n) for side, n in zip(sides, pairs, strict=True))
    return Quantity(
        name=name,
        kind=_kind(every[0].check),
        value=every[0].pair[1],
        unit=next((one.unit for one in every if one.unit), None),
        same=same,
        other=other,
    )


def _spread(seen: Sequence[_Seen], pairs: int) -> Spread:
    return Spread(
        moved=max((one.distance for one in seen), default=0.0),
        tolerated=min((one.tolerated for one in seen), default=math.inf),
        changed=sum(one.is_changed for one in seen),
        pairs=pairs,
    )


def _kind(check: ValueCheck) -> Kind:
    subject, _ = check.subject
    if subject == "metric":
        return "metric"
    return "loss" if subject == "curve" or check.key.endswith(" loss") else "tensor"
