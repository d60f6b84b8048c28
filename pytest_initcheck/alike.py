"""Which rows of a weight start alike, from their projections."""

from __future__ import annotations

import numpy as np

from pytest_initcheck.evidence import Array


def groups_of(projections: Array) -> list[Array]:
    """Index groups, of two or more, of rows that are alike to six digits."""
    if not np.isfinite(projections).all():
        return []
    scale = np.abs(projections[:, -1:]).max() if len(projections) else 0.0
    keys = np.round(projections / max(float(scale), 1e-300), 6) + 0.0
    _, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    return [np.flatnonzero(inverse == group) for group in np.flatnonzero(counts > 1)]
