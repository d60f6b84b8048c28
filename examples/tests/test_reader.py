"""How the reader starts, and whether it still learns."""

from __future__ import annotations

import pytest
import torch
from postcodes.reader import Reader

from pytest_initcheck import Experiment
from pytest_initcheck.data import load_mnist


@pytest.fixture(scope="module")
def digits():
    """The digits that come with pytest-initcheck; a real project takes its own data."""
    return load_mnist("embedded", flat=False)


def new_reader(seed: int = 0) -> Reader:
    """A reader, the same for the same seed: baselines hold what it starts with."""
    torch.manual_seed(seed)
    return Reader()


def test_starts_healthy(initcheck, digits):
    """No zero, equal, dead or saturated units; gradients reach every layer."""
    batch = digits.train_images[:256], digits.train_labels[:256]
    initcheck.assert_healthy(new_reader(), batch)


def test_units_of_a_layer_become_different(initcheck, digits):
    """Five steps tell all units of a layer apart."""
    batch = digits.train_images[:256], digits.train_labels[:256]
    initcheck.assert_symmetry_broken(new_reader(), batch, steps=5)


def test_learns_to_read(initcheck, digits):
    """Two passes over 2,000 digits are enough for 85 %, whatever the seed."""
    experiment = Experiment(
        model=Reader,
        data=(digits.train_images[:2000], digits.train_labels[:2000]),
        validation=(digits.test_images, digits.test_labels),
        optimizer=lambda params: torch.optim.Adam(params, lr=3e-3),
        epochs=2,
        batch_size=50,
    )
    initcheck.assert_reaches(experiment, accuracy=0.85, seeds=4)
