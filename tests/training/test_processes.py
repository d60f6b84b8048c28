"""Seeds in forked processes: the plain loop bit for bit, and what comes of one that ends."""

import contextlib
import faulthandler
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from support.training import Running, experiment, points
from torch import nn

from pytest_initcheck import InitcheckError, run
from pytest_initcheck.backends import cores as machine
from pytest_initcheck.training import forks, processes, runs, workers

pytestmark = pytest.mark.skipif(
    forks.no_fork(torch.device("cpu")) is not None, reason="no processes can be forked here"
)


@pytest.fixture(autouse=True)
def two_processes_of_one_thread(monkeypatch):
    for room in (processes, workers):
        monkeypatch.setattr(room, "cores", lambda: 2)
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(was)
    assert not multiprocessing.active_children()


class InPlace(nn.Linear):
    """Works in place, and counts its calls."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        outputs = super().forward(x)
        outputs[:, 0] = 0
        return outputs.mul_(self.calls**0.5)


def dropping():
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 3))


def normed():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


class Half(nn.Linear):
    """Has a type that numpy lacks, and a buffer that every step replaces."""

    def __init__(self):
        super().__init__(2, 3)
        self.register_buffer("last", torch.zeros(3, dtype=torch.bfloat16), persistent=False)

    def forward(self, x):
        outputs = super().forward(x)
        self.last = outputs.detach().mean(0).bfloat16()
        return outputs + self.last


@pytest.mark.parametrize("model", [dropping, normed, lambda: InPlace(2, 3), Half])
def test_they_repeat_the_plain_loop_bit_for_bit(model):
    seen = {}

    def measure(model, moment):
        state = [*model.buffers(), torch.tensor(float(getattr(model, "calls", 0)))]
        seen.setdefault(moment, []).append(torch.cat([x.flatten().float() for x in state]))
        # Also the global streams are where the plain loop leaves them.
        return {"draw": torch.rand(()) + random.random()}

    chosen = experiment(model=model, validation=points(20), measure=measure)
    plain, forked = (run(chosen, seeds=5, engine=engine) for engine in ("plain", "processes"))
    assert forked.engine == "processes"
    assert forked.curves == plain.curves
    assert forked.metrics == plain.metrics
    assert forked.after == plain.after
    assert all(
        torch.equal(*pair) for pair in zip(seen["after"][:5], seen["after"][5:], strict=True)
    )


def test_a_parent_that_computes_in_several_threads_can_be_forked():
    torch.set_num_threads(2)
    wide = torch.randn(700, 700)
    assert (wide @ wide).isfinite().all()
    plain, forked = (run(experiment(), seeds=3, engine=engine) for engine in ("plain", "processes"))
    assert torch.get_num_threads() == 2
    assert forked.engine == "processes"
    for mine, own in zip(forked.curves["loss"], plain.curves["loss"], strict=True):
        assert mine == pytest.approx(own, rel=1e-5)


class OwnRandom(nn.Linear):
    def __init__(self):
        super().__init__(2, 3)
        self.source = torch.Generator().manual_seed(0)

    def forward(self, x):
        return super().forward(x + torch.randn(x.shape, generator=self.source))


class Remembering(nn.Linear):
    def __init__(self):
        super().__init__(2, 3)
        self.past = []

    def forward(self, x):
        self.past.append(len(x))
        return super().forward(x)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": OwnRandom}, "a step changes OwnRandom.source"),
        ({"model": Remembering}, "a step changes Remembering.past"),
        ({"loss": Running()}, "a step changes Running._buffers (loss)"),
    ],
)
def test_what_cannot_be_brought_back_is_trained_plainly(changes, what, monkeypatch):
    done = []

    @contextlib.contextmanager
    def bar(total, what, progress):
        yield done.append

    monkeypatch.setattr(runs, "bar", bar)
    chosen = experiment(**changes)
    start = {key: value.clone() for key, value in Running().state_dict().items()}
    found = []
    for engine in ("plain", "processes"):
        done.clear()
        if isinstance(chosen.loss, nn.Module):
            chosen.loss.load_state_dict(start)
        found.append(run(chosen, seeds=3, engine=engine))
        assert sum(done) == 9
    plain, forked = found
    assert forked.engine == f"plain (processes: {what}, which stays in the process of its seed)"
    assert (forked.curves, forked.metrics) == (plain.curves, plain.metrics)


def ending(how):
    """A model of which seed 3 ends its process in its second epoch."""

    class Ending(nn.Linear):
        def __init__(self):
            super().__init__(2, 3)
            self.steps, self.seed = 0, torch.initial_seed()

        def forward(self, x):
            self.steps += self.training
            if self.seed == 3 and self.steps > 5 and multiprocessing.parent_process():
                how()
            return super().forward(x)

    return experiment(model=Ending)


def crash():
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "its process was killed by SIGKILL"),
        (crash, "its process was killed by SIGSEGV"),
        (lambda: os._exit(7), "its process ended with status 7 before it was done"),
        (lambda: sys.exit(0), "its process ended with status 0 before it was done"),
    ],
    ids=["killed", "crashed", "ended", "left"],
)
def test_a_process_that_ends_is_an_error_that_names_the_seed(how, told):
    with pytest.raises(InitcheckError) as caught:
        run(ending(how), seeds=6, engine="processes")
    assert str(caught.value) == f"training stopped at seed 3: {told}"


def test_an_error_shows_where_in_the_child_it_was_raised():
    def broken():
        raise LookupError("not there")

    with pytest.raises(InitcheckError, match=r"seed 3, epoch 2: LookupError: not there") as caught:
        run(ending(broken), seeds=6, engine="processes")
    assert "in broken" in str(caught.value.__cause__)


def test_an_interrupt_ends_all():
    def interrupted(done):
        raise KeyboardInterrupt

    def work(place, tick):
        tick(1)
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        forks.in_processes(work, ["a", "b"], interrupted)
    assert time.monotonic() - start < 30
    assert not multiprocessing.active_children()


PROGRAM = """
import os, signal, sys, time
import torch
from pytest_initcheck.training import forks, workers
# What runs in the background of a shell has been told to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
workers.cores = lambda: 2

def work(place, tick):
    # In one write, as both write at once.
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(120)

forks.in_processes(work, ["a", "b"], print)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_children_do_not_outlive_their_parent(number):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as parent:
        children = [int(parent.stdout.readline()) for _ in range(2)]
        heard(parent, number)
    deadline = time.monotonic() + 30
    while any(running(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def heard(parent, number):
    """Send a signal until the process ends: what runs at a fork may swallow the first SIGINT."""
    for _ in range(12):
        parent.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            parent.wait(5)
            return
    parent.kill()
    pytest.fail(f"the process does not end by {number!r}")


def running(pid):
    """Whether a process is there, and no mere entry that nobody has read."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ((forks.sys, "platform", "darwin"), "processes are not forked on darwin"),
        ((forks.torch.accelerator, "is_available", lambda: True), "autograd has threads for the"),
        ((processes, "cores", lambda: 1), "there is one core for this process"),
        ((processes, "sharing", lambda _: True), "the models share modules or tensors"),
    ],
)
def test_where_there_are_no_processes_the_plain_loop_serves_and_says_why(patch, why, monkeypatch):
    plain = run(experiment(), seeds=2)
    monkeypatch.setattr(*patch)
    found = run(experiment(), seeds=2, engine="processes")
    assert found.engine.startswith(f"plain (processes: {why}")
    assert found.curves == plain.curves


def test_workers_of_a_test_run_share_the_cores(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    assert machine.cores() == 8
    for count, share in (("4", 2), ("3", 2), ("16", 1)):
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", count)
        assert machine.cores() == share


def test_what_a_child_said_goes_before_that_it_ended(monkeypatch):
    def late(connections):
        time.sleep(0.3)
        return connections

    def work(place, tick):
        raise InitcheckError("the reason")

    # Seen only once the child has ended, too, as on a machine that others use.
    monkeypatch.setattr(forks, "wait", late)
    with pytest.raises(InitcheckError, match="the reason"):
        forks.in_processes(work, ["a", "b"], lambda done: None)
