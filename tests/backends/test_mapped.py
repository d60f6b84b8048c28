"""Tasks through a backend: the order of results, errors, ticks, and what a worker leaves alone."""

import random

import numpy as np
import pytest
import torch
from support.engines import shuffled  # noqa: F401

from pytest_initcheck import InitcheckError
from pytest_initcheck.backends import serve as serving
from pytest_initcheck.backends.mapping import mapped
from pytest_initcheck.capture.randomness import seed_all, stream_positions

pytestmark = pytest.mark.usefixtures("shuffled")
NAMES = ("loky", "dask://there:1", "ray")


def drawn(shared, seed, tick):
    seed_all(seed)
    tick(2)
    return shared + torch.rand(3).tolist() + [random.random(), float(np.random.rand())]


@pytest.mark.parametrize("backend", NAMES)
def test_the_results_are_those_of_this_process_in_the_order_of_the_tasks(backend):
    here, there = (mapped(drawn, [1.0], range(9), backend=b) for b in (None, backend))
    assert there.results == here.results
    assert there.told == f"{backend} (9 tasks on 3 workers)"
    assert here.told == ""


@pytest.mark.parametrize("backend", [None, "loky"])
def test_ticks_add_up(backend):
    ticks = []
    mapped(drawn, [], range(4), backend=backend, tick=ticks.append)
    assert ticks == [2] * 4


def test_no_task_moves_the_streams_of_its_process_or_its_settings():
    before = stream_positions(), torch.get_num_threads(), torch.get_default_dtype()
    mapped(drawn, [], range(4), backend="loky")
    assert (stream_positions(), torch.get_num_threads(), torch.get_default_dtype()) == before


def test_a_worker_computes_with_the_settings_of_the_caller():
    def seen(shared, task, tick):
        return torch.get_num_threads(), torch.ones(1).dtype, torch.get_float32_matmul_precision()

    settings = serving.Numerics(
        threads=3, dtype=torch.float64, deterministic=True, warns_only=True, precision="high"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "opened", lambda parcel: (seen, None, [0]))
        made = serving.serve(None, 0, settings).made
    assert made == (3, torch.float64, "high")


def failing(shared, task, tick):
    if task in shared:
        raise ValueError(f"no {task}")
    return task


def test_the_error_is_that_of_the_first_task_that_fails_in_the_callers_words():
    for _ in range(2):
        with pytest.raises(InitcheckError, match=r"^ValueError: no 3$") as caught:
            mapped(failing, {7, 3, 5}, range(9), backend="loky")
    shown = str(caught.value.__cause__)
    assert shown.count("File") == 1
    assert 'raise ValueError(f"no {task}")' in shown


def test_what_comes_after_the_first_failure_is_not_waited_for(shuffled):  # noqa: F811
    with pytest.raises(InitcheckError, match="no 0"):
        mapped(failing, {0}, range(50), backend="loky")
    assert len(shuffled.began) < 50


def test_lost_workers_are_begun_anew_with_what_is_missing(shuffled):  # noqa: F811
    shuffled.lost = [ConnectionError("died"), ConnectionError("died")]
    assert mapped(failing, set(), range(6), backend="loky").results == list(range(6))
    assert sorted(shuffled.began) == list(range(6))


def test_workers_that_are_lost_again_and_again_end_it(shuffled):  # noqa: F811
    shuffled.lost = [ConnectionError("died")] * 4
    names = [f"seed {n}" for n in range(6)]
    with pytest.raises(InitcheckError, match=r"backend 'loky': ConnectionError: died; not done: "):
        mapped(failing, set(), range(6), backend="loky", names=names)


def test_an_engine_that_repeats_lost_tasks_itself_is_not_begun_anew(shuffled):  # noqa: F811
    shuffled.lost = [OSError("killed"), OSError("killed")]
    with pytest.raises(InitcheckError, match="OSError: killed"):
        mapped(failing, set(), range(6), backend="dask")
    assert len(shuffled.lost) == 1


def test_another_machine_is_told(monkeypatch):
    monkeypatch.setattr(serving, "machine", lambda: "torch 1.0 on a toaster")
    told = mapped(drawn, [], range(2), backend="ray").told
    assert "equal up to rounding: torch 1.0 on a toaster there, torch 2" in told


def test_an_engine_that_is_not_installed_is_one_clear_error(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError))
    with pytest.raises(InitcheckError, match=r"'ray://a:1' needs .*'pytest-initcheck\[ray\]'"):
        mapped(drawn, [], range(2), backend="ray://a:1")
