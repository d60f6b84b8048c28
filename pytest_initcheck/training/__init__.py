"""Train one model per seed, over seeds, sigmas and optimisers, and record every run."""

from __future__ import annotations

from pytest_initcheck.training.experiment import Experiment
from pytest_initcheck.training.normal import draw_normal
from pytest_initcheck.training.runs import run
from pytest_initcheck.training.sweeps import sweep

__all__ = ["Experiment", "draw_normal", "run", "sweep"]
