"""Programs that are sound are never called faulty, and those that cannot learn are."""

from __future__ import annotations

import functools

import pytest
import torch
from support.learning import FAULTY, SOUND

from pytest_initcheck import learns

# What has no answer: no step is taken, and the reason says why.
UNASKED = {
    "generator_step": "as good as any",
    "critic_step": "no floor",
    "both_steps_of_a_game": "as good as any",
    "policy_gradient": "no floor",
    "one_sample": "as good as any",
    "three_samples_alike": "as good as any",
    "nothing_to_learn": "as good as any",
}
# What has no answer after steps either.
UNDECIDED = {
    "logistic_of_one_feature": "too few",
    "least_squares_of_noise": "too few",
    "clipped_policy": "values that move with the weights",
    "copy_of_the_first_symbol": "fades over the steps",
    "bottleneck_of_one": "stands still there",
}
# Whether these get half of the way depends on the draw.
OPEN = {
    "logistic", "three_hidden_units_of_noise", "two_units_for_circles", "embedding_of_one",
    "noise_images_to_noise_images", "random_segmentation", "noise_from_a_generator", "flow",
    "temporal_difference", "graph", "adding_problem", "only_biases",
}  # fmt: skip
# Not the model but the optimiser that was passed.
ELSEWHERE = {
    "rate_of_a_million": "diverges",
    "rate_of_nothing": "stands still",
    "optimiser_of_another_model": "stands still",
    "optimiser_of_nothing": "stands still",
    "climbing_optimiser": "diverges",
}


@functools.cache
def asked(program):
    """The answer, once for all tests of this file."""
    torch.manual_seed(0)
    model, batch, options = program()
    return learns(model, batch, **options)


def named(programs):
    return [pytest.param(program, id=program.__name__) for program in programs]


@pytest.mark.parametrize("program", named(SOUND))
def test_a_sound_program_is_not_called_faulty(program):
    found, name = asked(program), program.__name__
    assert found.verdict == "pass"
    assert found.steps <= 300
    if reason := UNASKED.get(name) or UNDECIDED.get(name):
        assert found.outcome == "undecided"
        assert reason in found.reason
        assert (found.steps == 0) == (name in UNASKED)
    elif name not in OPEN:
        assert found.outcome == "learns"


@pytest.mark.parametrize("program", named(FAULTY))
def test_a_faulty_program_does_not_pass(program):
    found = asked(program)
    if course := ELSEWHERE.get(program.__name__):
        assert (found.verdict, found.outcome) == ("warn", "learns")
        assert found.own.course == course
    else:
        assert (found.verdict, found.outcome) == ("fail", "fails")
    assert found.steps <= 300


def test_equal_units_memorise_a_part_which_proves_nothing():
    from support.learning import symmetrical

    found = asked(symmetrical)
    assert found.outcome == "undecided"
    assert "stands still" in found.reason


def test_the_floor_of_equal_inputs_with_different_targets_is_their_entropy():
    from support.learning import duplicates

    assert asked(duplicates).floor == pytest.approx(0.6931, abs=1e-3)


def test_the_floor_of_smoothed_labels():
    from support.learning import smoothed_labels

    # Four classes at 0.06 and one at 0.76.
    assert asked(smoothed_labels).floor == pytest.approx(0.8838, abs=1e-3)


def test_the_constant_prediction_of_pictures_is_one_for_all_pixels():
    from support.learning import random_segmentation

    assert asked(random_segmentation).constant == pytest.approx(3.03, abs=0.02)


def test_most_programs_that_learn_say_so_in_under_sixty_steps():
    clear = [p for p in SOUND if p.__name__ not in {*UNASKED, *UNDECIDED, *OPEN}]
    steps = sorted(asked(program).steps for program in clear[:12])
    assert steps[len(steps) // 2] < 60
