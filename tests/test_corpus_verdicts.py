"""The verdict, the cause and the layer that the corpus states are what a diagnosis says."""

from __future__ import annotations

import os

import pytest
from corpus import all_cases

# More seeds cost time: INITCHECK_CORPUS_SEEDS=5 runs the whole corpus over five of them.
SEEDS = int(os.environ.get("INITCHECK_CORPUS_SEEDS", "1"))


def seeds(case):
    return range(max(SEEDS, 2) if case.name.startswith("symmetry") else SEEDS)


def parameters():
    for case in all_cases():
        for seed in seeds(case):
            yield pytest.param(case, seed, id=f"{case.name}-{seed}")


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(("case", "seed"), [*parameters()])
def test_the_verdict_is_right_and_names_the_cause(case, seed):
    assert case.wrong(case.diagnosis(seed)) == ""


def test_no_two_cases_share_a_name():
    names = [case.name for case in all_cases()]
    assert len(names) == len(set(names))
