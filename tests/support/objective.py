"""Starts of the corpus' builders: what is known of their objective, and what is said of them."""

from __future__ import annotations

import re

import pytest
import torch
from corpus.contract.builders import given

from pytest_initcheck.capture.program import Program
from pytest_initcheck.objective.facts import objective_facts


def started(build, seed=0):
    """The start that ``given(…)`` or a row of the corpus builds, from a seed."""
    torch.manual_seed(seed)
    return build()


def asked(make, data, loss_fn=None, forward=None):
    """The facts of the objective of ``make()`` on ``data()``."""
    start = started(given(make, data, loss_fn))
    return objective_facts(Program(start.model, start.batch, loss_fn, forward))


def judged(make, data, loss_fn=None, **options):
    """The diagnosis of ``make()`` on ``data()``, by Adam where ``options`` name nothing else."""
    return started(given(make, data, loss_fn, **options)).diagnosis()


def through(last):
    """``loss_fn=`` as the step that ``forward=`` takes."""
    return lambda model, batch: last(model(batch[0]), batch[1])


def numbers_of(found):
    """What is measured and what is allowed, as the line says them."""
    text = re.search(
        r"([-+\d.e]+|inf), allowed (at most|at least|more than) ([-+\d.e]+)", str(found)
    )
    assert text, str(found)
    return float(text[1]), text[2], float(text[3])


def is_true(found):
    """The line says numbers that were measured, and that are beyond what it allows."""
    measured, bound, limit = numbers_of(found)
    assert measured == pytest.approx(found.measured, rel=1e-3)
    assert limit == pytest.approx(found.limit, rel=1e-3)
    beyond = {"at most": measured > limit, "at least": measured < limit}
    assert beyond.get(bound, measured == limit), str(found)
    return True
