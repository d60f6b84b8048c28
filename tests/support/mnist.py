"""A small set in the form of MNIST's files."""

from __future__ import annotations

import numpy as np

from pytest_initcheck.data import write_idx

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def tiny(folder, train=30, test=20, suffix=""):
    """A small set in the form of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for names, n in ((NAMES[:2], train), (NAMES[2:], test)):
        write_idx(folder / (names[0] + suffix), rng.integers(0, 256, (n, 28, 28), "uint8"))
        write_idx(folder / (names[1] + suffix), (np.arange(n) % 10).astype("uint8"))
    return folder
