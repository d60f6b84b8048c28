"""Columns of a table that nothing reads: each sample asks about one of them, all in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_initcheck.dependence.change import differing, inputs_of, is_mask, is_same, targets_of
from pytest_initcheck.dependence.choices import Choices
from pytest_initcheck.dependence.inputs import differs
from pytest_initcheck.dependence.passes import Change, NotAsked, Passes, PassResult
from pytest_initcheck.evidence.dependencies import ASKED_PER_SAMPLE, ENOUGH, Columns

# What is left after as many passes is put to the proof.
_PASSES = ASKED_PER_SAMPLE
Column = tuple[str, int]


@dataclass(frozen=True)
class Tables:
    """The tables of a batch, beside the same with each value replaced by another of its column."""

    count: int
    given: dict[str, Tensor]
    others: dict[str, Tensor]

    def varying(self) -> list[Column]:
        """The columns in which enough samples can be given another value."""
        return [
            (place, column)
            for place, table in self.given.items()
            for column, samples in enumerate(_tested(table, self.others[place]))
            if samples >= ENOUGH
        ]

    def each(self, columns: Sequence[Column]) -> Change:
        """Sample i with another value in column i of these, which come again and again."""
        asked = [columns[i % len(columns)] for i in range(self.count)]
        changed = {}
        for place, table in self.given.items():
            rows = [i for i, at in enumerate(asked) if at[0] == place]
            where = (rows, ..., [asked[i][1] for i in rows])
            changed[place] = table.detach().clone()
            changed[place][where] = self.others[place][where]
        return changed

    def whole(self, columns: Sequence[Column]) -> Change:
        """All samples with another value in all of these columns."""
        changed = {place: table.detach().clone() for place, table in self.given.items()}
        for place, column in columns:
            changed[place][..., column] = self.others[place][..., column]
        return changed


def ask_columns(
    passes: Passes, reference: PassResult, count: int, read: Sequence[str]
) -> tuple[Columns, ...]:
    """The columns of the inputs that are ``read`` that move no bit of output and loss.

    One pass where each column moves the output of some sample.

    Raises:
        NotAsked: the program chooses by what it reads, so that a column may count elsewhere.
    """
    tables = _tables(passes, count, read)
    left = tables.varying()
    if not 0 < len(left) <= _PASSES * count:
        return ()
    left = _still(tables, left, reference, passes.changed(tables.each(left)))
    targets = targets_of(passes.program.batch).values()
    left = [at for at in left if not _is_target(tables.given[at[0]][..., at[1]], targets)]
    return _named(tables, _proved(passes, tables, left)) if left else ()


def _tables(passes: Passes, count: int, read: Sequence[str]) -> Tables:
    inputs = inputs_of(passes.program.batch)
    given = {
        place: tensor
        for place, tensor in inputs.items()
        if place in read
        and _is_table(tensor, count)
        # Which places a mask lets through may be no choice of the model's.
        and not (is_mask(tensor) and len(inputs) > 1)
    }
    return Tables(count, given, {place: differing(table) for place, table in given.items()})


def _is_table(tensor: Tensor, count: int) -> bool:
    if tensor.layout != torch.strided or tensor.is_nested or tensor.dim() not in (2, 3):
        return False
    return tensor.shape[0] == count and 1 < tensor.shape[-1] <= _PASSES * count


def _tested(table: Tensor, other: Tensor) -> list[int]:
    """In how many samples each column has another value."""
    differ = (~is_same(table, other)).reshape(len(table), -1, table.shape[-1]).any(1)
    counts: list[int] = differ.sum(0).tolist()
    return counts


def _still(
    tables: Tables, columns: list[Column], before: PassResult, after: PassResult
) -> list[Column]:
    """The columns that no sample was moved by, those that none was left for first."""
    moved = _moved_samples(before, after, tables.count)
    asked = columns[: tables.count]
    kept = [at for i, at in enumerate(asked) if not any(moved[i :: len(columns)])]
    return columns[tables.count :] + kept[1:] + kept[:1]


def _moved_samples(before: PassResult, after: PassResult, count: int) -> list[bool]:
    """Of which samples any bit of an output is another one."""
    hit = [False] * count
    for old, new in zip(before.outputs, after.outputs, strict=False):
        axis = next((i for i, size in enumerate(old.shape) if size == count), 0)
        if old.shape != new.shape or not old.dim() or old.shape[axis] % count:
            continue
        differ = ((old != new) | (old != old)).movedim(axis, 0).reshape(count, -1).any(1)
        hit = [was or now for was, now in zip(hit, differ.tolist(), strict=True)]
    return hit


def _is_target(column: Tensor, targets: Iterable[Tensor]) -> bool:
    """Whether the targets hold these values: what is foretold must not be read."""
    values = column.reshape(-1, 1)
    return any(
        bool((target.reshape(len(values), -1) == values).all(0).any())
        for target in targets
        if target.numel() and target.numel() % len(values) == 0
    )


def _proved(passes: Passes, tables: Tables, left: list[Column]) -> list[Column]:
    """The columns that move nothing with other weights either, all at once."""
    for weights in (passes.shaken, passes.redrawn):
        left = _unmoved(passes, tables, left, weights()) if left else []
    return left


def _unmoved(
    passes: Passes, tables: Tables, left: list[Column], weights: AbstractContextManager[None]
) -> list[Column]:
    choices = Choices()
    with weights:
        with choices.watching(passes.program.model):
            reference = passes.reference(choices)
        if choices.found:
            raise NotAsked(f"columns: {choices.found} chooses what is read")
        for _ in range(_PASSES - 1):
            left = _still(tables, left, reference, passes.changed(tables.each(left)))
            if not left:
                return []
        return [] if differs(reference, passes.changed(tables.whole(left))) else left


def _named(tables: Tables, columns: list[Column]) -> tuple[Columns, ...]:
    found: dict[str, list[int]] = {}
    for place, column in sorted(columns):
        found.setdefault(place, []).append(column)
    return tuple(
        Columns(place=place, count=tables.given[place].shape[-1], unread=tuple(unread))
        for place, unread in found.items()
    )
