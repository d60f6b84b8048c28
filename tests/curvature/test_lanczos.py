"""The Lanczos process on symmetric matrices whose spectrum is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck.curvature.lanczos import MISS, krylov

EPS = torch.finfo(torch.float64).eps
VALUES = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 3))
SPECTRA = st.lists(VALUES, min_size=1, max_size=30)
SEEDS = st.integers(0, 10**6)


def matrix(spectrum, seed):
    source = torch.Generator().manual_seed(seed)
    random = torch.randn(len(spectrum), len(spectrum), generator=source, dtype=torch.float64)
    axes = torch.linalg.qr(random)[0]
    return axes @ torch.diag(torch.as_tensor(spectrum, dtype=torch.float64)) @ axes.T


def process(h, steps, seed, dtype=torch.float64):
    start = torch.randn(len(h), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return krylov(lambda v: h @ v.double(), start, steps, EPS, dtype)


@settings(deadline=None, max_examples=60)
@given(SPECTRA, SEEDS)
def test_all_steps_find_both_ends(spectrum, seed):
    found = process(matrix(spectrum, seed), len(spectrum), seed + 1)
    scale = max(map(abs, spectrum))
    values, _ = found.ritz()
    assert values[0] == pytest.approx(min(spectrum), abs=1e-9 * scale + 1e-300)
    assert values[-1] == pytest.approx(max(spectrum), abs=1e-9 * scale + 1e-300)


@settings(deadline=None, max_examples=60)
@given(SPECTRA, SEEDS, st.integers(1, 30))
def test_some_eigenvalue_lies_within_the_residual(spectrum, seed, steps):
    h = matrix(spectrum, seed)
    found = process(h, steps, seed + 1)
    values, vectors = found.ritz()
    scale = max(map(abs, spectrum))
    for column in (0, -1):
        vector = found.vector(vectors[:, column])
        quotient = float(vector @ h @ vector)
        residual = float((h @ vector - quotient * vector).norm())
        nearest = min(abs(quotient - x) for x in spectrum)
        assert nearest <= residual + 1e-12 * scale
        assert quotient == pytest.approx(values[column], abs=1e-11 * scale + 1e-300)
        # Courant and Fischer: the ends lie at the quotient or further out.
        assert min(spectrum) - 1e-12 * scale <= quotient <= max(spectrum) + 1e-12 * scale


@settings(deadline=None, max_examples=40)
@given(SPECTRA, SEEDS, st.integers(1, 30), st.floats(-50, 50))
def test_the_spectrum_shifts_with_the_matrix(spectrum, seed, steps, shift):
    h = matrix(spectrum, seed)
    moved = process(h + shift * torch.eye(len(h), dtype=torch.float64), steps, seed)
    found, scale = process(h, steps, seed), max(map(abs, spectrum)) + abs(shift)
    for column in (0, -1):
        ends = moved.ritz()[0][column], found.ritz()[0][column] + shift
        assert ends[0] == pytest.approx(ends[1], abs=1e-6 * scale + 1e-300)


def test_the_bound_is_exceeded_no_more_often_than_stated():
    size, trials = 300, 400
    spectrum = torch.linspace(-1, 1, size, dtype=torch.float64)
    h, missed, distance = torch.diag(spectrum), 0, []
    for seed in range(trials):
        found = process(h, 12, seed)
        missed += (found.bound(1) < 1) + (found.bound(-1) > -1)
        distance.append(found.bound(1) - 1)
    # Two bounds each; four standard deviations above the stated share.
    expected = 2 * trials * MISS
    assert missed <= expected + 4 * math.sqrt(expected)
    assert np.median(distance) < 0.2


def test_a_hidden_eigenvalue_is_within_the_bound():
    """An outlier that a few steps have not seen yet: the bound must not rule it out."""
    spectrum = torch.linspace(0, 1, 2000, dtype=torch.float64)
    spectrum[0] = -1.2
    for seed in range(20):
        found = process(torch.diag(spectrum), 5, seed)
        assert found.bound(-1) <= -1.2


def test_bound_and_value_meet_where_the_process_is_complete():
    found = process(matrix([-3.0, 1.0, 2.0], 0), 10, 1)
    assert found.steps == 3
    assert (found.bound(-1), found.bound(1)) == pytest.approx((-3, 2))


def test_it_stops_where_nothing_is_left():
    identity = torch.eye(50, dtype=torch.float64)
    assert process(0 * identity, 20, 0).steps == 1
    assert process(3 * identity, 20, 0).steps == 1
    low_rank = torch.diag(torch.tensor([1.0, 2.0, -1.0] + [0.0] * 47, dtype=torch.float64))
    found = process(low_rank, 20, 0)
    assert found.steps <= 6
    assert found.ritz()[0][[0, -1]] == pytest.approx([-1, 2])


def test_the_basis_stays_orthogonal_where_ritz_values_converge():
    spectrum = torch.linspace(0, 1, 400, dtype=torch.float64) ** 8
    spectrum[-1] = 100.0
    start = torch.ones(400, dtype=torch.float64)
    found = krylov(lambda v: spectrum * v.double(), start, 60, 0.0, torch.float32)
    vectors = torch.stack([found.vector(row) for row in np.eye(found.steps)])
    gram = vectors @ vectors.T
    assert float((gram - torch.eye(found.steps)).abs().max()) < 1e-6
    # No ghosts: the converged value comes once.
    assert sum(found.ritz()[0] > 50) == 1


def test_asymmetry_is_seen():
    h = matrix([-1.0, 0.5, 1.0, 2.0, 3.0], 0)
    assert process(h, 5, 1).asymmetry < 1e-13
    skew = torch.triu(torch.full((5, 5), 1e-3, dtype=torch.float64), 1)
    size = float((skew - skew.T).norm()) / 2
    seen = process(h + (skew - skew.T) / 2, 5, 1).asymmetry
    assert size / 2 < seen < 4 * size
