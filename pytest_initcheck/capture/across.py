"""What each rank measured of its part, merged into what one process would measure of all of it.

Every number of a look is of a kind that can be merged by itself: counts and sums add up, means and
variances pool (Chan, Golub and LeVeque, The American Statistician 37, 1983), extremes compare,
histograms are laid on one range. All that waits at the end of a look goes in one exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from pytest_initcheck.capture.joint_rows import BINS
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.buckets import buckets
from pytest_initcheck.ranks.ranks import Ranks

Array = np.ndarray[Any, Any]
# "own": every rank has all of it. "summary": moments of values; "fixed": of such that may not
# depend on the samples; "slopes": of gradients of the rank's own loss. "units": sums per unit.
# "variation", "rows": of samples. "loss": a mean over samples. "sum": adds up. "list": one after
# the other. "heads": two means over samples and a maximum per head. What is "shared" is of units
# of which ranks with the same samples have a share each.
Kind = Literal[
    "own", "summary", "fixed", "slopes", "units", "variation", "rows", "loss", "sum", "list",
    "heads", "shared summary", "shared slopes", "shared units",
]  # fmt: skip
_HEAD = 6


class Slot(NamedTuple):
    """A place of a ledger: its numbers, what they are, and of how many values they are."""

    numbers: Array
    kind: Kind = "own"
    n: int = 0


class Extent(NamedTuple):
    """How many values the merged numbers are of, and how many times the rows and the columns of
    this rank's tensor those make."""

    n: int
    rows: float = 1.0
    columns: int = 1


class Across:
    """Merges the ledgers of ranks; ``groups`` are the places of the ranks that were given the same
    samples, ``samples`` how many each group has. ``replicas`` is the process group of those that
    hold all of the model, each for itself."""

    def __init__(
        self,
        ranks: Ranks,
        groups: Sequence[Sequence[int]],
        samples: Sequence[int],
        replicas: Any = None,
    ) -> None:
        self.ranks, self.groups, self._replicas = ranks, groups, replicas
        total = max(sum(samples), 1)
        self.weights = [count / total for count in samples]
        self._place = next(at for at, group in enumerate(groups) if ranks.rank in group)
        self._samples = samples[self._place]

    def kind_of(self, kind: Kind, shape: Sequence[int]) -> Kind:
        """The kind of a summary, by whether the shape has a row, or several, for every sample."""
        if kind != "summary":
            return kind
        rows = self._samples
        return "summary" if shape and rows and shape[0] % rows == 0 else "fixed"

    def thinned(self, count: int, most: int) -> slice:
        """Which of this rank's rows are at most so many of those of all: every k-th of these.

        ``count`` is how many rows this rank has, each sample as many as any other.
        """
        share = self.weights[self._place]
        total = round(count / share) if share else count
        every = max(-(-total // most), 1)
        return slice(-round(total * sum(self.weights[: self._place])) % every, None, every)

    def share_gradients(self, model: nn.Module) -> None:
        """Give every replica the gradient of the loss of all samples; all ranks call this."""
        if self._replicas is None:
            return
        share = self.weights[self._place] / len(self.groups[self._place])
        gradients = [(p.grad,) for p in model.parameters() if p.grad is not None]
        for bucket in buckets(gradients):
            for alike in _by_kind(gradient for (gradient,) in bucket):
                _reduced(alike, share, self._replicas)

    def mean(
        self, values: Sequence[float | None], largest: Sequence[float | None] = ()
    ) -> list[float | None]:
        """Of numbers that each rank has of its samples, those of all; None where one has none.

        ``values`` are means, after which come those of which the ``largest`` is wanted.

        Raises:
            RankError: another rank failed.
        """
        mine = [np.nan if value is None else value for value in (*values, *largest)]
        body = np.array(mine, np.float64).tobytes()
        said = np.stack([np.frombuffer(each) for each in self.ranks.exchange(body)])
        said, count = said[[group[0] for group in self.groups]], len(values)
        means = np.average(said[:, :count], axis=0, weights=self.weights)
        found = [*means, *said[:, count:].max(0)]
        return [None if value != value else float(value) for value in found]

    def merged(self, slots: Sequence[Slot]) -> tuple[list[Array], dict[int, Extent]]:
        """The numbers of every slot, and how much those are of that grew; all ranks call this.

        Raises:
            InitcheckError: the ranks did not measure the same things.
            RankError: another rank failed.
        """
        places = [place for place, slot in enumerate(slots) if slot.kind != "own"]
        by_rank = [_read(body) for body in self.ranks.exchange(_body([slots[p] for p in places]))]
        if len({len(theirs) for theirs in by_rank}) > 1:
            raise InitcheckError(
                "the ranks did not run the same operators, so that what they measured cannot be "
                "merged; let the model do the same on every rank"
            )
        numbers, extents = [slot.numbers for slot in slots], dict[int, Extent]()
        for at, place in enumerate(places):
            found = [Slot(theirs[at][0], slots[place].kind, theirs[at][1]) for theirs in by_rank]
            numbers[place], extents[place] = self._one(found, slots[place])
        return numbers, extents

    def _one(self, found: Sequence[Slot], mine: Slot) -> tuple[Array, Extent]:
        kind = mine.kind
        parts = [_of_peers([found[rank] for rank in group]) for group in self.groups]
        if kind == "fixed" and _are_equal(parts):
            # What does not depend on the samples is there once.
            parts, weights = parts[:1], [1.0]
        else:
            weights = self.weights
        columns = max(parts[0].n // max(mine.n, 1), 1)
        n = sum(part.n for part in parts)
        merged = _MERGE[kind](parts, weights)
        return merged, Extent(n, n / (mine.n * columns) if mine.n else 1.0, columns)


def _by_kind(gradients: Iterable[Tensor]) -> list[list[Tensor]]:
    """Those that can lie in one tensor; each sparse one for itself."""
    kinds: dict[Any, list[Tensor]] = {}
    for gradient in gradients:
        is_dense = gradient.layout == torch.strided
        key = (gradient.dtype, gradient.device) if is_dense else id(gradient)
        kinds.setdefault(key, []).append(gradient)
    return list(kinds.values())


def _reduced(gradients: Sequence[Tensor], share: float, group: Any) -> None:
    """Add up the shares that ranks have of each gradient, in one collective."""
    if len(gradients) == 1:
        dist.all_reduce(gradients[0].mul_(share), group=group)
        return
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).mul_(share)
    dist.all_reduce(flat, group=group)
    sums = flat.split([gradient.numel() for gradient in gradients])
    for gradient, total in zip(gradients, sums, strict=True):
        gradient.copy_(total.view_as(gradient))


def _body(slots: Sequence[Slot]) -> bytes:
    sizes = [(len(slot.numbers), slot.n) for slot in slots]
    head = np.array([len(slots), *sum(sizes, ())], np.int64)
    return b"".join(
        [head.tobytes(), *(slot.numbers.astype(np.float64).tobytes() for slot in slots)]
    )


def _read(body: bytes) -> list[tuple[Array, int]]:
    count = int(np.frombuffer(body, np.int64, 1)[0])
    sizes = np.frombuffer(body, np.int64, 2 * count, 8).reshape(-1, 2)
    numbers = np.frombuffer(body, np.float64, offset=8 + 16 * count)
    ends = np.cumsum(sizes[:, 0])
    parts = np.split(numbers, ends[:-1]) if count else []
    return [(part, int(n)) for part, n in zip(parts, sizes[:, 1], strict=True)]


def _are_equal(slots: Sequence[Slot]) -> bool:
    first = slots[0].numbers
    return all(np.array_equal(first, slot.numbers, equal_nan=True) for slot in slots[1:])


def _of_peers(peers: Sequence[Slot]) -> Slot:
    """What ranks with the same samples have: the same, or each its share of the units."""
    first = peers[0]
    is_shared = first.kind.startswith("shared")
    is_all_there = not is_shared and _are_equal(peers)
    if len(peers) == 1 or is_all_there or first.kind in ("rows", "loss", "sum", "list"):
        return first
    n = sum(peer.n for peer in peers)
    if first.kind.endswith("units"):
        tables = [peer.numbers.reshape(4, -1) for peer in peers]
        return Slot(np.concatenate(tables, axis=1).reshape(-1), first.kind, n)
    if first.kind == "heads":
        tables = [peer.numbers.reshape(3, -1) for peer in peers]
        return Slot(np.concatenate(tables, axis=1).reshape(-1), first.kind, n)
    if first.kind == "variation":
        squares = sum(peer.numbers[0] * peer.n for peer in peers) / max(n, 1)
        means = np.concatenate([peer.numbers[1:] for peer in peers])
        return Slot(np.concatenate([[squares], means]), first.kind, n)
    return Slot(_pooled(peers, [1.0] * len(peers)), first.kind, n)


def _pooled(parts: Sequence[Slot], _: Sequence[float]) -> Array:
    """Count, mean, variance, extremes, zeros and bins of the values of all parts."""
    rows = np.stack([part.numbers for part in parts])
    count, mean, variance = rows[:, 0], rows[:, 1], rows[:, 2]
    known = count > 0
    if not known.any():
        return np.array(rows[0])
    total = count.sum()
    centre = (count[known] * mean[known]).sum() / total
    spread = variance[known] + (mean[known] - centre) ** 2
    low, high = rows[known, 3].min(), rows[known, 4].max()
    square = (count[known] * spread).sum() / total
    head = np.array([total, centre, square, low, high, rows[:, 5].sum()])
    return (
        np.concatenate([head, _rebinned(rows[known], low, high)]) if rows.shape[1] > _HEAD else head
    )


def _rebinned(rows: Array, low: float, high: float) -> Array:
    """The bins of all parts on one range; each goes to the bin of its centre."""
    bins = np.zeros(BINS)
    for row in rows:
        centres = row[3] + (row[4] - row[3]) * (np.arange(BINS) + 0.5) / BINS
        share = (centres - low) / max(high - low, float(np.finfo(float).tiny))
        np.add.at(bins, np.clip(share * BINS, 0, BINS - 1).astype(int), row[_HEAD:])
    return bins


def _slopes(parts: Sequence[Slot], weights: Sequence[float]) -> Array:
    """Gradients of the loss of all samples, to which that of a part adds by its weight."""
    scaled = []
    for part, weight in zip(parts, weights, strict=True):
        row = part.numbers.copy()
        row[[1, 3, 4]] *= weight
        row[2] *= weight**2
        scaled.append(part._replace(numbers=row))
    return _pooled(scaled, weights)


def _added(parts: Sequence[Slot], _: Sequence[float]) -> Array:
    total: Array = np.sum([part.numbers for part in parts], axis=0)
    return total


def _mean(parts: Sequence[Slot], weights: Sequence[float]) -> Array:
    mean: Array = np.average([part.numbers for part in parts], axis=0, weights=weights)
    return mean


def _varied(parts: Sequence[Slot], weights: Sequence[float]) -> Array:
    """The share of the mean square that differs between samples, from it and the mean sample."""
    square, *mean = _mean(parts, weights)
    share = 1 - float(np.mean(np.square(mean))) / square if square > 0 else np.nan
    # What rounding leaves of a difference is none.
    return np.array([share if not share < 64 * np.finfo(np.float64).eps else 0.0])


def _independent(parts: Sequence[Slot], _: Sequence[float]) -> Array:
    """As `tensor_stats.independent`, of the mean and the mean square of every row."""
    means, squares = np.concatenate([p.numbers.reshape(2, -1) for p in parts], axis=1)
    n = sum(part.n for part in parts)
    centre = means.mean()
    spreads = squares - 2 * centre * means + centre**2
    variance, count = spreads.mean(), len(means)
    with np.errstate(all="ignore"):
        found = np.array(
            [
                variance / (means.var(ddof=1) / count),
                2 * variance**2 / (spreads.var(ddof=1) / count),
            ]
        )
    known: Array = np.nan_to_num(found, nan=1.0, posinf=1.0, neginf=1.0).clip(1, n)
    return known


def _by_head(parts: Sequence[Slot], weights: Sequence[float]) -> Array:
    """The means of passed gradient and entropy, and the largest score, head by head."""
    tables = np.stack([part.numbers.reshape(3, -1) for part in parts])
    means = np.average(tables[:, :2], axis=0, weights=weights)
    return np.concatenate([means, tables[:, 2:].max(0)]).reshape(-1)


def _listed(parts: Sequence[Slot], _: Sequence[float]) -> Array:
    return np.concatenate([part.numbers for part in parts])


_MERGE: dict[Kind, Callable[[Sequence[Slot], Sequence[float]], Array]] = {
    "summary": _pooled,
    "shared summary": _pooled,
    "fixed": _pooled,
    "slopes": _slopes,
    "shared slopes": _slopes,
    "units": _added,
    "shared units": _added,
    "variation": _varied,
    "rows": _independent,
    "loss": _mean,
    "sum": _added,
    "list": _listed,
    "heads": _by_head,
}
