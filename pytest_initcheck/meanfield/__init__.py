"""Signals through deep random networks: what infinite width predicts, and what a network does."""

from __future__ import annotations

from pytest_initcheck.meanfield.measure import edge_of_chaos
from pytest_initcheck.meanfield.result import EdgeOfChaos
from pytest_initcheck.meanfield.theory import MeanField, critical_sigma_w

__all__ = ["EdgeOfChaos", "MeanField", "critical_sigma_w", "edge_of_chaos"]
