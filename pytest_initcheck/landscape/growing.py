"""`escape` over seeds in groups, until the answer to a question is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch

from pytest_initcheck.landscape.explore import escape
from pytest_initcheck.landscape.result import Escape
from pytest_initcheck.records import RunRecord
from pytest_initcheck.sequential import Sequential


def escape_until(
    is_known: Callable[[RunRecord], bool] | None, *args: Any, seeds: Any = 8, **options: Any
) -> Escape:
    """`escape`, which of a `Sequential` lets no more seeds walk once ``is_known`` holds."""
    if is_known is None or not isinstance(seeds, Sequential):
        return escape(*args, seeds=seeds, **options)
    parts: list[Escape] = []
    for first, last in pairwise((0, *seeds.looks)):
        parts.append(escape(*args, seeds=range(first, last), **options))
        found = joined(parts)
        if is_known(found.run_record()):
            break
    return found


def joined(parts: Sequence[Escape]) -> Escape:
    """The same walk from several groups of seeds as one."""
    seeds = tuple(seed for part in parts for seed in part.seeds)
    return replace(
        parts[0],
        problem=replace(parts[0].problem, seeds=seeds),
        trajectories=torch.cat([part.trajectories for part in parts]),
        values=torch.cat([part.values for part in parts]),
        ends=tuple(end for part in parts for end in part.ends),
        gradient_norms=tuple(norm for part in parts for norm in part.gradient_norms),
        eigenvalues=torch.cat([part.eigenvalues for part in parts]),
    )
