"""What nonlinearities pass of the gradient, per unit: dead and saturated units are ranges of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_initcheck.evidence import nonlinearities
from pytest_initcheck.evidence.evidence import Observed
from pytest_initcheck.evidence.gradient_flow import is_gate
from pytest_initcheck.evidence.snapshot import Array, NonlinearityKey

# A layer that passes less than a tenth of the gradient costs the layers below a decade each.
SHUT = 0.1
OPEN = 0.25
# Gates closed or opened by a bias agree; saturation by weights throws units to both ends.
_BOTH_ENDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Transmission:
    """The slope |f'| of one nonlinearity over the largest that it can have, one value per unit.

    ``start`` is its mean over the samples before the first step. ``closed`` are the units that
    pass nothing on any sample of any look, and get no gradient past the nonlinearity either;
    ``open`` those that pass something on every sample. ``is_inside``: a later layer reads it.
    """

    family: str
    start: Array
    closed: Array
    open: Array
    width: int
    is_inside: bool

    @property
    def median(self) -> float:
        """Of the units at the start."""
        return float(np.median(self.start))

    @property
    def mean(self) -> float:
        """Of the units at the start."""
        return float(self.start.mean())

    @property
    def is_closed(self) -> bool:
        """Whether no unit ever passes anything."""
        return bool(self.closed.all())


def transmissions(observed: Observed) -> dict[NonlinearityKey, Transmission]:
    """What each nonlinearity of the trace passes, over all looks, in the order of the first."""
    keys = dict.fromkeys(key for look in observed.snapshots for key in look.sites)
    rows = _rows(observed)
    return {key: _pooled(observed, key, rows.get(key.layer, [])) for key in keys}


def _pooled(observed: Observed, key: NonlinearityKey, rows: list[Array]) -> Transmission:
    sites = [look.sites[key] for look in observed.snapshots if key in look.sites]
    closed = np.logical_and.reduce([site.flat >= site.samples for site in sites])
    if key.nonlinearity in nonlinearities.CAN_SHUT:
        # A unit that a gradient reaches past the nonlinearity is not closed.
        reached = [gradient > 0 for gradient in rows if len(gradient) == key.units]
        closed &= ~np.logical_or.reduce([*reached, np.zeros(key.units, dtype=bool)])
    return Transmission(
        family=sites[0].family,
        start=sites[0].slope,
        closed=closed,
        open=np.logical_and.reduce([site.flat == 0 for site in sites]),
        width=sites[0].width,
        is_inside=sites[0].is_inside,
    )


def _rows(observed: Observed) -> dict[str, list[Array]]:
    """Per layer the norms of the gradient of each unit, one array for each parameter and look."""
    found: dict[str, list[Array]] = {}
    for name, parameter in observed.parameters.items():
        looks = (look.parameters[name].row_gradient for look in observed.snapshots)
        found.setdefault(parameter.layer, []).extend(rows for rows in looks if rows is not None)
    return found


@dataclass(frozen=True)
class Saturated:
    """The bounded nonlinearities of which the median unit passes less than ``limit``."""

    sites: dict[NonlinearityKey, Transmission]
    limit: float


def saturated(observed: Observed) -> Saturated:
    """What passes too little, by the stricter limit where any nonlinearity falls below that."""
    flat = {
        key: passed
        for key, passed in transmissions(observed).items()
        if passed.family == "squashing"
        and passed.median < OPEN
        and (passed.is_inside or _is_squared(observed))
        and not _is_biased_gate(observed, key)
    }
    worst = {key: p for key, p in flat.items() if p.median < SHUT and p.is_inside}
    return Saturated(worst, SHUT) if worst else Saturated(flat, OPEN)


def _is_squared(observed: Observed) -> bool:
    """Whether the loss leaves the slope of the output in: a logarithm cancels it."""
    facts = observed.objective
    return facts is not None and facts.sides > 0 and not facts.is_logarithmic


def _is_biased_gate(observed: Observed, key: NonlinearityKey) -> bool:
    site = observed.start.sites.get(key)
    spread = site.output.std if site and site.output else None
    return spread is not None and spread < _BOTH_ENDS and is_gate(observed, key)
