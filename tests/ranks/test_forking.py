"""Ranks and training beside torch.compile, after which a forked child cannot go backward."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PROGRAM = """
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from pytest_initcheck import Experiment, assert_same_start, run
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.forking import survives_fork
from pytest_initcheck.ranks.local_job import on_ranks
from work_of_ranks import slope


def factory():
    return nn.Linear(3, 3)


if __name__ == "__main__":
    assert survives_fork()
    # What torch.compile does: it pretends that there are devices.
    with FakeTensorMode():
        torch.empty(2)
    factory()(torch.ones(2, 3)).sum().backward()
    assert not survives_fork()

    assert on_ranks(2, slope) == [2.0, 4.0]
    assert_same_start(factory, "world_size")
    try:
        on_ranks(2, lambda rank: rank)
    except InitcheckError as error:
        print(error)
    x = torch.randn(32, 3)
    found = run(
        Experiment(
            model=factory,
            data=(x, torch.randint(0, 3, (32,))),
            optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
            epochs=2,
            batch_size=8,
        ),
        seeds=4,
        engine="auto",
    )
    print(len(found.seeds), "seeds")
"""
WORK = """
import torch


def slope(rank):
    w = torch.tensor(float(rank + 1), requires_grad=True)
    (w * w).backward()
    return float(w.grad)
"""


def test_ranks_start_anew_and_seeds_are_trained_without_forks(tmp_path):
    (tmp_path / "work_of_ranks.py").write_text(WORK)
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nor started anew" in done.stdout
    assert "4 seeds" in done.stdout
