"""What is read of the rates of an optimiser, and of their way over the steps."""

from __future__ import annotations

import pytest

from pytest_initcheck.capture.learning_rate import fading


@pytest.mark.parametrize(("looks", "taken"), [
    ([[1.0], [0.75], [0.5625]], 0.25),
    ([[1.0], [0.5], [0.45]], 0.1),
    ([[1.0], [0.5], [0.5]], 0.0),
    ([[1.0], [2.0], [1.0]], 0.0),
    ([[1.0, 1.0], [0.5, 1.0], [0.25, 1.0]], 0.0),
    ([[0.0], [0.0]], 0.0),
    ([[float("nan"), 1.0], [float("nan"), 0.5]], 0.0),
    ([[1.0], [0.5, 1.0]], 0.5),
    ([[1.0]], 0.0),
])  # fmt: skip
def test_the_part_of_its_rate_that_an_optimiser_takes_is_the_least_of_all_steps(looks, taken):
    assert fading(looks) == pytest.approx(taken)
