"""What a look measures of one parameter and its gradient, on its way from the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.magnitude_spread import magnitudes
from pytest_initcheck.capture.tensor_stats import PROJECTED, Summary, plain, projections, summarise
from pytest_initcheck.evidence import ParameterSnapshot, Snapshot
from pytest_initcheck.evidence.similar_rows import groups_of, nearly


@dataclass(frozen=True, kw_only=True)
class ParameterSlots:
    """One parameter of one look, still on the device."""

    weight: Summary | None
    gradient: Summary | None
    row_gradient: int | None = None
    projections: int | None = None
    pulls: int | None = None
    magnitudes: int | None = None

    def look(self, ledger: DeferredRead) -> ParameterSnapshot:
        place = self.magnitudes
        least, median = (None, None) if place is None else ledger[place].tolist()
        return ParameterSnapshot(
            stats=self.weight.stats(ledger) if self.weight else None,
            gradient=self.gradient.stats(ledger) if self.gradient else None,
            row_gradient=ledger[self.row_gradient] if self.row_gradient is not None else None,
            projections=ledger[self.projections].reshape(-1, PROJECTED)
            if self.projections is not None
            else None,
            gradient_projections=ledger[self.pulls].reshape(-1, PROJECTED)
            if self.pulls is not None
            else None,
            least=least,
            median=median,
        )


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a parameter in one look.

    ``is_full``: of its values, and of its gradient all; ``is_first``: what tells it from any other;
    ``is_new``: how far apart its magnitudes lie, and no row is known to be like another yet;
    ``is_followed``: whether its rows stay alike; ``has_rows``: the norm of each row's gradient.
    """

    is_full: bool
    is_first: bool
    is_new: bool
    is_followed: bool
    has_rows: bool


def put_parameter(
    parameter: Tensor, ledger: DeferredRead, axis: int | None, asked: Asked
) -> ParameterSlots:
    """Put on the ledger what is asked of a parameter, whose units lie along ``axis``."""
    follows = asked.is_followed and parameter.dim() > 1
    rows = rows_of(parameter, axis or 0) if follows else None
    gradient = parameter.grad
    has_rows = gradient is not None and axis is not None and gradient.layout == torch.strided
    return ParameterSlots(
        weight=summarise(parameter, ledger, is_identified=asked.is_first)
        if asked.is_full or gradient is None
        else None,
        gradient=summarise(gradient, ledger, of="all" if asked.is_full else "range")
        if gradient is not None
        else None,
        row_gradient=ledger.put(rows_of(gradient, axis).norm(dim=1))
        if has_rows and asked.has_rows and gradient is not None and axis is not None
        else None,
        projections=ledger.put(projections(rows)) if rows is not None and rows.numel() else None,
        pulls=_pulls(gradient, axis or 0, ledger)
        if asked.is_followed and not asked.is_new
        else None,
        magnitudes=ledger.put(magnitudes(parameter)) if asked.is_new else None,
    )


def _pulls(gradient: Tensor | None, axis: int, ledger: DeferredRead) -> int | None:
    if gradient is None or gradient.dim() < 2:
        return None
    return ledger.put(projections(rows_of(gradient, axis)))


def rows_of(tensor: Tensor, axis: int) -> Tensor:
    """A weight as a matrix with one row per output unit; below zero, of each layer in a stack."""
    # What is stored of a sparse gradient are some of its rows.
    dense = plain(tensor if tensor.layout == torch.strided else tensor.detach().to_dense())
    if axis < 0 and dense.dim() > 2:
        return dense.movedim(axis, 1).flatten(0, 1).flatten(1)
    return dense.movedim(min(axis, dense.dim() - 1), 0).flatten(1)


def alike(snapshot: Snapshot) -> set[str]:
    """The parameters that hold rows, or are copies, that start alike."""
    return {
        name
        for name, parameter in snapshot.parameters.items()
        if parameter.projections is not None
        and (groups_of(parameter.projections) or nearly(parameter.projections))
    } | _copied(snapshot)


def _copied(look: Snapshot) -> set[str]:
    """Parameters whose rows equal those of another parameter."""
    seen: dict[bytes, list[str]] = {}
    for name, parameter in look.parameters.items():
        if parameter.projections is not None:
            seen.setdefault(parameter.projections.tobytes(), []).append(name)
    return {name for names in seen.values() if len(names) > 1 for name in names}
