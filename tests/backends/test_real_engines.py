"""Loky, a Dask cluster of three processes, a Ray instance: equal results, whatever happens."""

import os
import signal
import threading
import time

import pytest
import torch
from support.engines import needs
from support.training import experiment, points
from torch import nn

from pytest_initcheck import InitcheckError, escape, run, scaling, sweep
from pytest_initcheck.backends import connection
from pytest_initcheck.backends.mapping import mapped

ENGINES = [
    pytest.param("loky", marks=needs("joblib", "cloudpickle")),
    pytest.param("dask", marks=needs("joblib", "cloudpickle", "distributed")),
    pytest.param("ray", marks=needs("joblib", "cloudpickle", "ray")),
]
HERE = os.getpid()


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    """The name or address of an engine with workers in processes of their own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield from {"loky": _loky, "dask": _dask, "ray": _ray}[request.param]()
    torch.set_num_threads(threads)


def _loky():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "cores", lambda: 2)
        yield "loky"


def _dask():
    import distributed

    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


def _ray():
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield "ray"
    ray.shutdown()


def dropping():
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 3))


def test_a_run_and_a_sweep_are_the_same_records(engine):
    chosen = experiment(model=dropping, validation=points(20))
    assert run(chosen, seeds=5, backend=engine) == run(chosen, seeds=5)
    cells = {"sigmas": [0.1, 1.0], "optimizers": {"adam": torch.optim.Adam}, "seeds": 2}
    assert sweep(chosen, backend=engine, **cells) == sweep(chosen, **cells)


def of_width(width):
    return nn.Sequential(nn.Linear(2, width), nn.Dropout(0.5), nn.ReLU(), nn.Linear(width, 3))


def test_exponents_are_the_same(engine):
    here = scaling(of_width, (4, 8, 16), points(20), steps=2)
    there = scaling(of_width, (4, 8, 16), points(20), steps=2, backend=engine)
    assert there.values == here.values
    assert there.losses == here.losses


def test_a_walk_is_the_same(engine):
    def walked(backend, **options):
        return escape(
            lambda w: (w**4).sum() - (w**2).sum(), [0.1, 0.2], steps=40, backend=backend, **options
        )

    together = {"optimizer": lambda p: torch.optim.SGD(p, lr=0.05), "noise": 0.1, "seeds": 20}
    alone = {"optimizer": lambda p: torch.optim.LBFGS(p), "noise": 0.1, "seeds": 3}
    for options in (together, alone):
        here, there = walked(None, **options), walked(engine, **options)
        assert torch.equal(there.trajectories, here.trajectories)
        assert torch.equal(there.values, here.values)
        assert there.run_record() == here.run_record()


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(engine, tmp_path):
    flag = tmp_path / "killed"

    def measure(model, moment):
        if os.getpid() != HERE and moment == "after" and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"mean": model[0].weight.mean()}

    chosen = experiment(model=dropping, measure=measure)
    found = run(chosen, seeds=6, backend=engine)
    assert flag.exists()
    assert found == run(chosen, seeds=6)


def test_a_task_that_kills_every_worker_is_an_error(engine):
    def deadly(shared, task, tick):
        if task == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    with pytest.raises(InitcheckError, match=r"not done: .*the third"):
        mapped(deadly, None, range(3), backend=engine, names=["a", "b", "the third"])
    assert mapped(deadly, None, [0, 1], backend=engine).results == [0, 1]


class Shared:
    """Notes every process that unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return arrived, (self.path,)


def arrived(path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return Shared(path)


def test_data_are_opened_once_in_every_worker(engine, tmp_path):
    def work(shared, task, tick):
        time.sleep(0.05)
        return os.getpid(), shared.path

    path = tmp_path / "arrivals"
    found = mapped(work, Shared(str(path)), range(12), backend=engine).results
    pids = path.read_text().split()
    assert len(pids) == len(set(pids))
    assert {str(pid) for pid, _ in found} <= set(pids)
    assert HERE not in {pid for pid, _ in found}


def test_an_error_is_the_callers_own(engine):
    class Breaks(nn.Linear):
        def forward(self, x):
            if torch.initial_seed() >= 2 and len(x) < 16:
                raise ValueError("too few")
            return super().forward(x)

    with pytest.raises(InitcheckError) as caught:
        run(experiment(model=lambda: Breaks(2, 3)), seeds=6, backend=engine)
    assert str(caught.value) == "training stopped at seed 2, epoch 1: ValueError: too few"
    shown = str(caught.value.__cause__)
    assert f'File "{__file__}"' in shown
    assert 'raise ValueError("too few")' in shown


def test_an_interrupt_ends_all_tasks_and_leaves_the_engine_ready(engine, tmp_path):
    path = tmp_path / "steps"

    class Slow(nn.Linear):
        def forward(self, x):
            if os.getpid() != HERE:
                time.sleep(0.02)
                with open(path, "a") as file:
                    file.write("x")
            return super().forward(x)

    def interrupt():
        while not path.exists():
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(HERE, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        run(experiment(model=lambda: Slow(2, 3), epochs=300), seeds=20, backend=engine)
    assert torch.equal(torch.get_rng_state(), before)
    time.sleep(1.5)
    size = path.stat().st_size
    time.sleep(1)
    assert path.stat().st_size == size
    assert run(experiment(), seeds=3, backend=engine) == run(experiment(), seeds=3)
