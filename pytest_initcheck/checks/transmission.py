"""What nonlinearities pass of the gradient, per unit: dead and saturated units are ranges of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_initcheck.evidence import Array, Evidence, SiteKey

# Rectifiers with a piece of slope zero.
FLAT = ("relu", "relu6", "clamp", "threshold", "hardswish")


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


def transmissions(evidence: Evidence) -> dict[SiteKey, Transmission]:
    """What each nonlinearity of the trace passes, over all looks, in the order of the first."""
    keys = dict.fromkeys(key for look in evidence.looks for key in look.sites)
    rows = _rows(evidence)
    return {key: _pooled(evidence, key, rows.get(key.layer, [])) for key in keys}


def _pooled(evidence: Evidence, key: SiteKey, rows: list[Array]) -> Transmission:
    sites = [look.sites[key] for look in evidence.looks if key in look.sites]
    closed = np.logical_and.reduce([site.flat >= site.samples for site in sites])
    if key.nonlinearity in FLAT:
        # A unit that a gradient reaches past the nonlinearity is not closed.
        driven = [gradient > 0 for gradient in rows if len(gradient) == key.units]
        closed &= ~np.logical_or.reduce([*driven, np.zeros(key.units, dtype=bool)])
    return Transmission(
        family=sites[0].family,
        start=sites[0].slope,
        closed=closed,
        open=np.logical_and.reduce([site.flat == 0 for site in sites]),
        width=sites[0].width,
        is_inside=sites[0].is_inside,
    )


def _rows(evidence: Evidence) -> dict[str, list[Array]]:
    """Per layer the norms of the gradient of each unit, one array for each parameter and look."""
    found: dict[str, list[Array]] = {}
    for name, parameter in evidence.parameters.items():
        looks = (look.parameters[name].row_gradient for look in evidence.looks)
        found.setdefault(parameter.layer, []).extend(rows for rows in looks if rows is not None)
    return found
