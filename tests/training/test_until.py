"""Runs that train no more seeds once an answer is known."""

import pytest
import torch
from torch import nn

from pytest_initcheck import Experiment, InitcheckError, Sequential, run, sweep
from pytest_initcheck.serialization import encode
from pytest_initcheck.training.runs import run_until
from pytest_initcheck.training.sweeps import sweep_until

DESIGN = Sequential(8, 2)
INPUTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def experiment(**changes):
    fields = {"data": (INPUTS, (INPUTS[:, 0] > 0).long()), "epochs": 2, "batch_size": 10}
    return Experiment(model=lambda: nn.Linear(3, 2), **{**fields, **changes})


@pytest.mark.parametrize("batched", [False, True])
def test_it_stops_after_the_group_that_tells(batched):
    asked = []

    def is_known(record):
        asked.append(record.seeds)
        return len(record.seeds) >= 4

    record = run_until(is_known, experiment(), DESIGN, batched=batched)
    assert asked == [(0, 1), (0, 1, 2, 3)]
    alone = run(experiment(), seeds=4, batched=batched)
    assert record.metrics["loss"] == pytest.approx(alone.metrics["loss"], abs=1e-6)
    assert record.metrics.keys() == alone.metrics.keys()
    assert record.seeds == alone.seeds


def test_all_models_are_looked_at_before_training():
    record = run_until(lambda _: True, experiment(), DESIGN)
    assert record.seeds == (0, 1)
    assert encode(record.before) == encode(run(experiment(), seeds=8).before)
    assert encode(record.after) == encode(run(experiment(), seeds=2).after)


def test_groups_give_what_one_run_gives():
    record = run_until(lambda _: False, experiment(), DESIGN)
    assert encode(record) == encode(run(experiment(), seeds=8))


def test_cells_of_a_sweep_keep_the_same_seeds():
    optimizers = {"sgd": lambda p: torch.optim.SGD(p, lr=0.1), "adam": torch.optim.Adam}
    asked = []

    def are_known(cells):
        asked.append({name: len(record.seeds) for name, record in cells.items()})
        return len(asked) == 2

    cells = sweep_until(are_known, experiment(), [0.1, 1.0], optimizers, DESIGN)
    names = ["sigma=0.1, sgd", "sigma=1, sgd", "sigma=0.1, adam", "sigma=1, adam"]
    assert asked == [dict.fromkeys(names, 2), dict.fromkeys(names, 4)]
    whole = sweep(experiment(), [0.1, 1.0], optimizers, seeds=4)
    assert {name: cell.curves for name, cell in cells.items()} == {
        name: cell.curves for name, cell in whole.items()
    }


@pytest.mark.parametrize("call", [run, lambda e, **o: sweep(e, sigmas=[1.0], **o)])
def test_without_a_question_there_is_no_answer(call):
    with pytest.raises(InitcheckError, match="pass a number, or use the fixture"):
        call(experiment(), seeds=DESIGN)
