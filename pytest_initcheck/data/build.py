"""Build the embedded MNIST subset: ``python -m pytest_initcheck.data.build FOLDER``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytest_initcheck.data.idx import Array, read_idx, write_idx
from pytest_initcheck.data.mnist import EMBEDDED, FILES, find_file

SIZES = {"train": 5_000, "test": 1_000}
SEED = 20_240


def stratified(labels: Array, size: int) -> Array:
    """Indices of ``size`` samples, in random order, that keep the share of every class.

    Classes get the integer part of their share; the samples then missing go to the classes with
    the largest remainder.
    """
    rng = np.random.default_rng(SEED)
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * size / len(labels)
    take = np.floor(shares).astype(int)
    take[np.argsort(take - shares, kind="stable")[: size - take.sum()]] += 1
    chosen = [
        rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)
    ]
    return rng.permutation(np.concatenate(chosen))


def build(source: Path, target: Path = EMBEDDED) -> int:
    """Write the subset's four files into ``target``; returns their size in bytes."""
    target.mkdir(parents=True, exist_ok=True)
    for part, size in SIZES.items():
        images, labels = FILES[f"{part}_images"], FILES[f"{part}_labels"]
        chosen = stratified(read_idx(find_file(source, labels)), size)
        for name in (images, labels):
            write_idx(target / f"{name}.gz", read_idx(find_file(source, name))[chosen])
    return sum(path.stat().st_size for path in target.glob("*.gz"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder with the four files of the full set")
    parser.add_argument("--target", type=Path, default=EMBEDDED)
    options = parser.parse_args(arguments)
    print(f"{build(options.source, options.target)} bytes in {options.target}")


if __name__ == "__main__":
    main()
