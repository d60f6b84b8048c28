"""Train one model per seed, over seeds, sigmas and optimisers, and record every run."""

from __future__ import annotations

# Registers how a notebook shows what is trained.
from pytest_initcheck.report import notebook as _notebook  # noqa: F401
from pytest_initcheck.training.experiment import Experiment
from pytest_initcheck.training.normal import draw_normal
from pytest_initcheck.training.runs import run
from pytest_initcheck.training.sweep_result import Sweep
from pytest_initcheck.training.sweeps import sweep

__all__ = ["Experiment", "Sweep", "draw_normal", "run", "sweep"]
