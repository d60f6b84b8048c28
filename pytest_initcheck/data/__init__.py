"""Data sets for experiments: the MNIST digits and the IDX files they come in."""

from __future__ import annotations

from pytest_initcheck.data.idx import read_idx, write_idx
from pytest_initcheck.data.mnist import Mnist, load_mnist

__all__ = ["Mnist", "load_mnist", "read_idx", "write_idx"]
