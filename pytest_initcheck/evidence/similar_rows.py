"""Which rows of a weight start alike, from their projections."""

from __future__ import annotations

import numpy as np

from pytest_initcheck.evidence.snapshot import Array

# Of each other, relative to their norm.
NEARLY = 1e-3
# Among many rows some are close by chance.
MANY = 0.5


def groups_of(projections: Array) -> list[Array]:
    """Index groups, of two or more, of rows that are alike to six digits."""
    if not np.isfinite(projections).all():
        return []
    scale = np.abs(projections[:, -1:]).max() if len(projections) else 0.0
    keys = np.round(projections / max(float(scale), 1e-300), 6) + 0.0
    # Nearly always one column tells them all apart.
    if (np.diff(np.sort(keys[:, 0])) > 0).all():
        return []
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    return [np.flatnonzero(inverse == group) for group in np.flatnonzero(counts > 1)]


def nearly(projections: Array) -> list[Array]:
    """Index groups of rows that differ from a neighbour by little, relative to their norms.

    Only where half of the rows or more are in one: among many rows some are close by chance.
    """
    norms = projections[:, -1]
    if len(norms) < 2 or not np.isfinite(projections).all() or not norms.all():
        return []
    order = np.lexsort(projections.T[::-1])
    steps = np.abs(np.diff(projections[order], axis=0)).max(axis=1)
    ends = np.flatnonzero(steps > NEARLY * norms[order][1:]) + 1
    edges = np.concatenate([[0], ends, [len(order)]])
    wide = np.flatnonzero(np.diff(edges) > 1)
    groups = [order[edges[place] : edges[place + 1]] for place in wide]
    return groups if sum(map(len, groups)) >= MANY * len(norms) else []
