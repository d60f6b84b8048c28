"""Where samples come together in a pass, and whether that is what such a model does on purpose."""

from __future__ import annotations

import dataclasses
import math

from pytest_initcheck.dependence import operations
from pytest_initcheck.dependence.fingerprints import Spread
from pytest_initcheck.dependence.steps import Move, Trail
from pytest_initcheck.evidence.dependencies import Exchange

# Marks are coarse: a share has grown where it is so many times what it was.
_GROWN = 1.3

SOFTMAX = "a softmax over the samples"
NORM = "a layer normalisation over the samples"
ATTENTION = "attention from sample to sample, one position at a time"
RECURRENCE = "a recurrence from sample to sample, one position at a time"
REPLACED = "what is pooled over the samples takes the place of their own values"
FOLDED = "a view of tensors that were joined along the samples, in place of along the features"
SCRAMBLED = "a view that reads the memory in another order, in place of a transposition"


class Exchanges:
    """Visits the operations of a pass in which one sample was replaced.

    What is pooled over the samples is replayed from the first pass: if no other sample moves
    then, it was a statistic of the batch, such as a normalisation takes.
    """

    def __init__(self, count: int, sample: int) -> None:
        self._count, self._sample = count, sample
        self._limit = 1.5 / count
        self._born: dict[int, Exchange] = {}
        self._pooled: dict[int, Exchange] = {}
        # Scores of every sample against every, with their shape and the positions of a sample.
        self._scores: dict[int, tuple[int, ...]] = {}
        self._positions = 1
        self._softmaxes: set[tuple[int, ...]] = set()
        # Of products and sums: whether it sums over the samples what several of them weigh.
        self._weighing: dict[int, bool] = {}
        self._attended: set[int] = set()

    def visit(self, move: Move) -> bool:
        """Note where samples come together; True where the result is to be replayed."""
        result = move.result
        if result is None or not move.moved:
            return False
        if operations.moves_through_softmax(move):
            self._note_softmax(result)
        if move.operator in operations.PRODUCTS or move.operator in ("sum", "mean"):
            self._weighing[move.index] = _contracts(move, self._count)
        if move.is_view:
            self._note_view(move, result)
            return False
        if self._is_pooled(move):
            told = "a statistic of the batch beside the samples' own values"
            self._pooled[move.index] = self._exchange(move, explained=told)
            return True
        widest = max(spread.share for spread in move.moved)
        if result.share <= max(self._limit, _GROWN * widest):
            return False
        self._born[move.index] = self._judged(move, result)
        return False

    def found(self, trail: Trail, *, leaks: bool, moves: bool) -> tuple[Exchange, ...]:
        """The exchanges that reach the output, in their order.

        ``leaks`` and ``moves`` say whether, with what is pooled replayed, the output of other
        samples and that of the replaced one still moved.
        """
        path = trail.path()
        pooled = [found for index, found in self._pooled.items() if index in path]
        if not leaks:
            if pooled and not moves:
                pooled[-1] = dataclasses.replace(pooled[-1], explained="", fault=REPLACED)
            return tuple(pooled)
        born = {i: self._settled(i, e, trail) for i, e in self._born.items() if i in path}
        return _up_to_fault([born[index] for index in sorted(born)]) or tuple(pooled)

    def _is_pooled(self, move: Move) -> bool:
        axis = operations.narrow_axis(move, self._count)
        if axis is None or not operations.pooled(move, self._count):
            return False
        held = (_holding(spread, self._count, self._sample) for spread in move.moved)
        return any(found is not None for found in held)

    def _judged(self, move: Move, result: Spread) -> Exchange:
        axis = operations.narrow_axis(move, self._count)
        if operations.is_recurrence(move):
            is_one = operations.tokens(move.frames[-1], self._count) < 2
            told = "one sequence along this axis"
            return _told(self._exchange(move), RECURRENCE, told, is_one)
        if (
            axis is not None
            and operations.moves_through_softmax(move)
            and operations.softmax_axis(move) == axis
        ):
            is_choice = math.prod(result.shape) == result.shape[axis]
            return _told(self._exchange(move), SOFTMAX, "a choice among the samples", is_choice)
        if axis is not None and operations.normalises_over(move, axis):
            is_set = len(result.shape) < 3
            return _told(self._exchange(move), NORM, "one set of values, normalised", is_set)
        return self._intended(move, result)

    def _intended(self, move: Move, result: Spread) -> Exchange:
        if operations.pairs(move, self._count):
            positions = operations.tokens(move.frames[-1], self._count)
            if move.operator in operations.PRODUCTS and _is_per_position(result.shape, positions):
                self._scores[move.index] = result.shape
                self._positions = positions
            return self._exchange(move, explained="a similarity between samples")
        if operations.picks(move):
            return self._exchange(move, explained="rows picked by index or order")
        if operations.mixes_by_matrix(move):
            return self._exchange(move, explained="mixed by a matrix that no sample changes")
        return self._exchange(move)

    def _settled(self, index: int, exchange: Exchange, trail: Trail) -> Exchange:
        if exchange.fault == SOFTMAX and self._is_pooled_later(index, trail):
            return dataclasses.replace(exchange, fault="", explained="pooling over one set")
        if index in self._scores and _matrices(self._scores[index]) in self._softmaxes:
            return self._attention(exchange)
        return exchange

    def _is_pooled_later(self, index: int, trail: Trail) -> bool:
        """Whether what a softmax gave weighs a sum over the samples, as in attention pooling."""
        reached = {index}
        for later, step in enumerate(trail.steps[index + 1 :], index + 1):
            if reached.intersection(step.sources):
                reached.add(later)
                if later in self._weighing:
                    return self._weighing[later]
        return False

    def _attention(self, exchange: Exchange) -> Exchange:
        if self._positions in self._attended:
            told = "attention from sample to sample beside that along the positions"
            return dataclasses.replace(exchange, operator="attention", explained=told)
        return dataclasses.replace(exchange, operator="attention", fault=ATTENTION, explained="")

    def _note_softmax(self, result: Spread) -> None:
        if result.share <= self._limit:
            self._attended |= set(result.shape[-2:]) if len(result.shape) > 2 else set()
        else:
            self._softmaxes.add(_matrices(result.shape))

    def _note_view(self, move: Move, result: Spread) -> None:
        """A reshaping that reads the samples' axis out of the memory of several samples."""
        before = move.moved[0]
        if self._is_folded(before, result):
            self._born[move.index] = self._exchange(move, operator="view", fault=FOLDED)
            return
        axis = _holding(before, self._count, self._sample)
        if axis is None or self._count not in result.shape:
            return
        is_permuted = _is_permuted(before.shape, result.shape)
        is_first = axis > 0 and result.shape[0] == self._count
        if (is_permuted or is_first) and _holding(result, self._count, self._sample) is None:
            self._born[move.index] = self._exchange(move, operator="view", fault=SCRAMBLED)

    def _is_folded(self, before: Spread, result: Spread) -> bool:
        """Whether samples that were stacked by turns are read as if each lay beside itself."""
        if not before.shape or not result.shape or result.shape[0] != self._count:
            return False
        rows, after = (set(spread.flags[0].nonzero()[0]) for spread in (before, result))
        is_stacked = before.shape[0] > self._count and before.shape[0] % self._count == 0
        is_own = {row % self._count for row in rows} == {self._sample}
        return is_stacked and is_own and len(rows) > 1 and self._sample not in after

    def _exchange(
        self, move: Move, *, operator: str = "", fault: str = "", explained: str = ""
    ) -> Exchange:
        return Exchange(
            owner=move.owner,
            operator=operator or move.operator.strip("_"),
            axis=operations.narrow_axis(move, self._count),
            fault=fault,
            explained=explained,
        )


def _told(exchange: Exchange, fault: str, explained: str, is_explained: bool) -> Exchange:
    if is_explained:
        return dataclasses.replace(exchange, explained=explained)
    return dataclasses.replace(exchange, fault=fault)


def _holding(spread: Spread, count: int, sample: int) -> int | None:
    """The axis of just the samples, along which this one alone moved."""
    axes = (axis for axis, size in enumerate(spread.shape) if size == count)
    found = (axis for axis in axes if set(spread.flags[axis].nonzero()[0]) == {sample})
    return next(found, None)


def _is_permuted(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether the same sizes stand in another order, as they do after a transposition."""
    old, new = ([size for size in shape if size > 1] for shape in (before, after))
    return old != new and sorted(old) == sorted(new)


def _is_per_position(shape: tuple[int, ...], positions: int) -> bool:
    """Whether a matrix of samples by samples stands there for each position of a sample."""
    matrices = math.prod(shape[:-2])
    return len(shape) > 2 and positions > 1 and matrices % positions == 0


def _matrices(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many matrices a stack holds, and of which shape, however the stack is laid out."""
    return (math.prod(shape[:-2]), *shape[-2:])


def _up_to_fault(found: list[Exchange]) -> tuple[Exchange, ...]:
    """What comes after a fault is what it did to the samples, and no fault of its own."""
    faults = [index for index, exchange in enumerate(found) if exchange.fault]
    return tuple(found[: faults[0] + 1] if faults else found)


def _contracts(move: Move, count: int) -> bool:
    shapes = [spread.shape for spread in move.inputs[-2:] if spread is not None]
    result = move.result
    if result is None or not shapes:
        return False
    if move.operator in operations.PRODUCTS:
        return len(move.moved) > 1 and shapes[0][-1] == count
    return any(shapes[0][axis] == count for axis in operations.reduced(move, len(shapes[0])))
