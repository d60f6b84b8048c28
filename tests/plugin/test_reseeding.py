"""The plugin that moves seeds: other numbers, of every source that a test may seed."""

import random

import numpy as np
import pytest
import torch

from pytest_initcheck.plugin import reseeding


@pytest.fixture
def moved():
    """Seeds of this process, seven further, for the length of the test."""
    reseeding.move_seeds(7)
    yield 7
    reseeding.pytest_unconfigure()


SOURCES = {
    "torch": lambda seed: (torch.manual_seed(seed), torch.rand(3).tolist())[1],
    "generator": lambda seed: torch.rand(3, generator=torch.Generator().manual_seed(seed)).tolist(),
    "random": lambda seed: (random.seed(seed), random.random())[1],
    "named": lambda seed: (random.seed(a=seed, version=2), random.random())[1],
    "numpy": lambda seed: (np.random.seed(seed), np.random.rand(3).tolist())[1],
    "numpy's generator": lambda seed: np.random.default_rng(seed).random(3).tolist(),
    "named too": lambda seed: np.random.default_rng(seed=seed).random(3).tolist(),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_gives_the_numbers_of_another(source):
    draw = SOURCES[source]
    plain = draw(10)
    reseeding.move_seeds(7)
    try:
        assert draw(3) == plain
        assert draw(10) != plain
    finally:
        reseeding.pytest_unconfigure()
    assert draw(10) == plain


def test_what_is_no_whole_number_stays(moved):
    state = np.random.default_rng([1, 2]).random()
    reseeding.pytest_unconfigure()
    assert np.random.default_rng([1, 2]).random() == state


def test_generators_that_were_there_are_still_some(moved):
    assert isinstance(torch.default_generator, torch.Generator)
    assert isinstance(torch.Generator(), torch.Generator)
    assert not isinstance(3, torch.Generator)


def test_no_offset_changes_nothing():
    before = torch.manual_seed, torch.Generator
    reseeding.move_seeds(0)
    assert (torch.manual_seed, torch.Generator) == before
