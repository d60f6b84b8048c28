"""What a task costs on loky, Dask or Ray, weak scaling here, and a model of 1000 workers.

    python benchmarks/clusters.py loky dask ray

Each engine gets two processes here. Needs the extras; nothing is compared with a limit.
"""

from __future__ import annotations

import argparse
import contextlib
import time

import torch
from torch import nn

from pytest_initcheck import Experiment, run
from pytest_initcheck.backends import connection
from pytest_initcheck.backends.mapping import mapped

WORKERS = 2
REPEATS = 5
EMPTY = 200


@contextlib.contextmanager
def engine(name):
    """The engine's name or address, with two workers."""
    if name == "dask":
        import distributed

        with distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None
        ) as cluster:
            yield cluster.scheduler_address.replace("tcp://", "dask://")
    elif name == "ray":
        import ray

        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        yield "ray"
        ray.shutdown()
    else:
        connection.cores = lambda: WORKERS
        yield "loky"


def nothing(shared, task, tick):
    """A task that does nothing."""
    return task


def waiting(seconds, task, tick):
    """A task that computes nothing for some seconds, so that a busy machine does not matter."""
    time.sleep(seconds)
    return task


def least(function, repeats=REPEATS):
    """The least seconds of several calls: what the others had was other programs' time."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def trained(seeds, backend=None):
    """A training of about a second for each seed."""
    data = torch.randn(4_000, 64), torch.randint(0, 10, (4_000,))

    def model():
        return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))

    return run(Experiment(model, data, epochs=4), seeds=seeds, backend=backend)


def measured(backend):
    """Seconds: the first call, a call, a task of it, a megabyte shared by all, and a look."""
    first = least(lambda: mapped(nothing, None, range(WORKERS), backend=backend), 1)
    call = least(lambda: mapped(nothing, None, range(WORKERS), backend=backend))
    many = least(lambda: mapped(nothing, None, range(EMPTY), backend=backend))
    data = torch.zeros(64 * 2**18)
    sent = least(lambda: mapped(nothing, data, range(WORKERS), backend=backend), 3)
    return first, call, (many - call) / (EMPTY - WORKERS), (sent - call) / 64


def weak(backend):
    """The share of its time that a worker works, with as many tasks for each: of waiting, whose
    tasks need no processor, and of training, which shares this machine with all else."""
    slept = least(lambda: mapped(waiting, 0.25, range(8 * WORKERS), backend=backend), 3)
    one = least(lambda: trained(2), 3)
    two = least(lambda: trained(2 * WORKERS, backend), 3)
    return 8 * 0.25 / slept, one / two


def modelled(first, call, task, seconds, each, workers):
    """The share of a worker's time that is work: tasks are handed out one after the other, so that
    no more than 1 / task of them are begun in a second."""
    work = each * seconds
    whole = first + call + max(work + each * task, workers * each * task)
    return work / whole


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="*", default=["loky", "dask", "ray"])
    torch.set_num_threads(1)
    for name in parser.parse_args().engines:
        with engine(name) as backend:
            first, call, task, megabyte = measured(backend)
            waits, trains = weak(backend)
        print(f"{name}: first call {first:.1f} s, a call {call * 1e3:.0f} ms, ", end="")
        print(f"a task {task * 1e3:.1f} ms, a shared megabyte {megabyte * 1e3:.1f} ms")
        print(f"  weak scaling to {WORKERS} workers: waiting {waits:.0%}, training {trains:.0%}")
        for seconds in (0.1, 1, 10, 100, 1000):
            shares = [modelled(first, call, task, seconds, 8, n) for n in (10, 100, 1000)]
            told = ", ".join(f"{share:.0%}" for share in shares)
            print(f"  tasks of {seconds:g} s, 8 a worker, on 10, 100, 1000 workers: {told}")


if __name__ == "__main__":
    main()
