"""The engines differ in nothing but their speed, and "auto" says which it took and why."""

import random
import time
from contextlib import contextmanager

import pytest
import torch
from support.training import Running, experiment, points
from torch import nn

from pytest_initcheck import InitcheckError, run, sweep
from pytest_initcheck.training import processes, runs, threads, trial, workers
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.prepare import prepare

ENGINES = ["plain", "batched", "threads", "processes", "auto"]

ENGINES_TOLD = ["", "batched", "threads", "processes"]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    for room in (threads, processes, workers):
        monkeypatch.setattr(room, "cores", lambda: 2)


@pytest.fixture
def eager(monkeypatch):
    """Trials even where they cost more than they can gain."""
    monkeypatch.setattr(trial, "_BUDGET", 1e9)
    monkeypatch.setattr(trial, "_WORTHWHILE", 0.0)
    monkeypatch.setattr(trial, "_FEWEST", 1)


def values(record):
    """All curves and metrics of a record, in one tensor."""
    curves = [x for name in sorted(record.curves) for curve in record.curves[name] for x in curve]
    metrics = [x for name in sorted(record.metrics) for x in record.metrics[name]]
    return torch.tensor(curves + metrics, dtype=torch.float64)


def normed():
    return nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 4, (1, 2)), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


class InPlace(nn.Module):
    """Works in place, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.inner, self.out = nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        self.calls += 1
        hidden = self.inner(x)
        hidden.mul_(0.5)
        hidden[:, 0] = 0
        return self.out(hidden.relu_())


def dropping():
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 3))


@pytest.mark.parametrize("model", [None, normed, InPlace])
def test_all_give_the_same_results(model, eager):
    chosen = experiment(
        validation=points(20), dtype=torch.float64, **({"model": model} if model else {})
    )
    plain, *others = (run(chosen, seeds=5, engine=engine) for engine in ENGINES)
    for other in others:
        torch.testing.assert_close(values(other), values(plain), rtol=1e-10, atol=1e-10)
        assert other.meta == plain.meta
    assert [record.engine for record in (plain, *others[:3])] == ENGINES_TOLD


def test_threads_repeat_the_plain_loop_bit_for_bit_on_one_thread():
    was = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain, threaded = (run(experiment(model=normed), seeds=5, engine=e) for e in ENGINES[:3:2])
    finally:
        torch.set_num_threads(was)
    assert threaded.curves == plain.curves
    assert threaded.metrics == plain.metrics
    assert threaded.after == plain.after


def test_workers_together_use_the_cores_once():
    seen = []

    class Asking(nn.Linear):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return super().forward(x)

    was = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        run(experiment(model=lambda: Asking(2, 3), measure=None), seeds=3, engine="threads")
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(was)
    assert after == 4
    assert 1 in seen
    assert not {2, 3} & set(seen)


def test_a_model_that_draws_is_no_stack_and_shares_no_process(eager, monkeypatch):
    chosen = experiment(model=dropping)
    plain, auto = run(chosen, seeds=9), run(chosen, seeds=9, engine="auto")
    assert auto.curves == plain.curves
    assert auto.engine.startswith("processes (batched: the models cannot be trained as one")
    monkeypatch.setattr(processes, "no_fork", lambda _: "none here")
    auto = run(chosen, seeds=9, engine="auto")
    assert auto.curves == plain.curves
    assert auto.engine.startswith("plain (batched: the models cannot be trained as one")
    assert "processes: none here; threads: a step draws random numbers" in auto.engine
    with pytest.raises(InitcheckError, match=r"threads: a step draws .* pass engine='plain'"):
        run(chosen, seeds=2, engine="threads")


def test_draws_of_a_later_step_are_an_error():
    class Late(nn.Linear):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * (random.random() if self.calls > 12 else 1.0)

    with pytest.raises(InitcheckError, match="a step that is not the first drew"):
        run(experiment(model=lambda: Late(2, 3), epochs=9), seeds=2, engine="threads")


def test_models_that_share_are_not_trained_together():
    shared = nn.BatchNorm1d(8, affine=False)

    def model():
        return nn.Sequential(nn.Linear(2, 8), shared, nn.Linear(8, 3))

    with pytest.raises(InitcheckError, match="the models share modules or tensors"):
        run(experiment(model=model), seeds=2, engine="threads")


def test_a_loss_that_holds_state_is_not_shared():
    loss = Running()
    with pytest.raises(InitcheckError, match="the loss changes what it holds"):
        run(experiment(loss=loss), seeds=2, engine="threads")


def test_models_that_differ_in_more_than_tensors_are_no_stack(eager):
    class Scaled(nn.Linear):
        def __init__(self):
            super().__init__(2, 3)
            self.scale = random.random()

        def forward(self, x):
            return super().forward(x) * self.scale

    found = run(experiment(model=lambda: Scaled()), seeds=9, engine="auto").engine
    assert "batched: the models differ in attributes that are no tensors" in found
    found = run(experiment(model=InPlace), seeds=9, engine="auto").engine
    assert "batched: a step changes attributes that are no tensors" in found


def test_an_engine_with_other_losses_is_not_taken(eager):
    seen = []

    def loss(outputs, targets):
        seen.append(0)
        return nn.functional.cross_entropy(outputs, targets) * (1 + len(seen))

    told = run(experiment(loss=loss), 9, engine="auto").engine
    assert "batched: it gives other losses than the plain loop" in told


@pytest.mark.parametrize("engine", ["threads", "processes", "auto"])
@pytest.mark.parametrize(("steps", "epoch"), [(1, 1), (5, 2)])
def test_the_error_is_that_of_the_plain_loop(engine, steps, epoch, eager):
    class Breaking(nn.Linear):
        """Breaks after some steps, in all seeds but 0."""

        def __init__(self):
            super().__init__(2, 3)
            self.steps, self.seed = 0, torch.initial_seed()

        def forward(self, x):
            self.steps += self.training
            if self.seed and self.steps > steps:
                raise RuntimeError(f"broken {self.seed}")
            return super().forward(x)

    chosen = experiment(model=Breaking)
    said = []
    for each in ("plain", engine):
        with pytest.raises(InitcheckError) as caught:
            run(chosen, seeds=4, engine=each)
        said.append(str(caught.value))
    where = f"training stopped at seed 1, epoch {epoch}"
    assert said[0] == said[1] == f"{where}: RuntimeError: broken 1"


def test_an_optimiser_that_needs_a_closure_is_the_same_error():
    chosen = experiment(optimizer=torch.optim.LBFGS)
    for engine in ENGINES:
        with pytest.raises(InitcheckError, match="optimizer: a step of LBFGS raised"):
            run(chosen, seeds=2, engine=engine)


def test_auto_takes_the_fastest_and_says_so(eager, monkeypatch):
    shares = {"batched": 0.8, "processes": 0.5}
    monkeypatch.setattr(
        trial, "_trials", lambda *_: [trial.EngineTrial(*each) for each in shares.items()]
    )
    told = "(batched: 0.8 of the plain loop's time; processes: 0.5 of the plain loop's time)"
    assert run(experiment(), seeds=3, engine="auto").engine == f"processes {told}"
    shares.update(batched=0.3)
    assert run(experiment(), seeds=3, engine="auto").engine.startswith("batched (batched: 0.3")
    shares.update(batched=0.95, processes=0.95)
    assert run(experiment(), seeds=3, engine="auto").engine.startswith("plain (batched: 0.95")


@pytest.mark.parametrize(("seeds", "why"), [(1, "there is one model"), (3, "the other seeds take")])
def test_auto_tries_nothing_where_it_cannot_gain(seeds, why, monkeypatch):
    monkeypatch.setattr(trial, "_WORTHWHILE", 1e9)
    monkeypatch.setattr(trial, "_trials", None)
    assert run(experiment(), seeds=seeds, engine="auto").engine.startswith(f"plain ({why}")


def test_auto_tries_no_stack_that_costs_more_than_it_may(monkeypatch):
    monkeypatch.setattr(trial, "_WORTHWHILE", 0.0)
    told = run(experiment(), seeds=9, engine="auto").engine
    assert told.startswith("processes (batched: there are too few steps to try it; processes: 0.5")


def test_the_first_seed_is_trained_once_and_tells_the_time(eager, monkeypatch):
    class Slow(nn.Linear):
        def forward(self, x):
            time.sleep(0.002)
            return super().forward(x)

    seen = []
    own = trial._trials
    monkeypatch.setattr(trial, "_trials", lambda *args: seen.append(args) or own(*args))
    done = []

    @contextmanager
    def bar(total, what, progress):
        yield done.append

    monkeypatch.setattr(runs, "bar", bar)
    run(experiment(model=lambda: Slow(2, 3)), seeds=3, engine="auto")
    ((_, models, seeds, seconds),) = seen
    assert (len(models), seeds) == (2, [1, 2])
    assert seconds > 12 * 0.002
    assert sum(done) == 9


def test_a_plain_loop_in_several_threads_is_timed_against_one(eager):
    was = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chosen, numbers = prepare(experiment()), [0, 1]
        models = build_models(chosen, numbers)
        before = [model[0].weight.clone() for model in models]
        (found,) = (
            each for each in trial._trials(chosen, models, numbers, 1e3) if each.name == "processes"
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(was)
    assert 0 < found.share < 5
    assert all(torch.equal(a, model[0].weight) for a, model in zip(before, models, strict=True))


def test_a_trial_leaves_no_trace(eager, monkeypatch):
    monkeypatch.setattr(trial, "_GAIN", float("inf"))
    chosen = experiment(model=normed, measure=lambda model, moment: {"draw": torch.rand(())})
    plain, auto = run(chosen, seeds=9), run(chosen, seeds=9, engine="auto")
    assert auto.engine.startswith("plain (batched: ")
    assert (auto.curves, auto.metrics, auto.after) == (plain.curves, plain.metrics, plain.after)


def test_a_stack_that_stops_later_is_trained_plainly(eager, monkeypatch):
    class Late(nn.Linear):
        """Looks at its numbers after twelve calls, which no stack can."""

        calls = 0

        def forward(self, x):
            self.calls += 1
            outputs = super().forward(x)
            return outputs * (2 if self.calls > 12 and outputs.sum().item() else 1)

    monkeypatch.setattr("pytest_initcheck.training.engines.fastest", lambda *_: ("batched", "x"))
    record = run(experiment(model=lambda: Late(2, 3), epochs=9), seeds=2, engine="auto")
    assert record.engine.startswith("plain (batched: the models cannot be trained as one program")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_bar_counts_all_epochs_of_all_seeds(engine, monkeypatch):
    done = []

    @contextmanager
    def bar(total, what, progress):
        yield done.append
        assert sum(done) == total == 9

    monkeypatch.setattr(runs, "bar", bar)
    run(experiment(), seeds=3, engine=engine)
    assert sum(done) == 9


def test_a_sweep_says_its_engine():
    cells = sweep(experiment(), sigmas=[0.1, 1.0], seeds=2, engine="threads")
    assert [record.engine for record in cells.values()] == ["threads", "threads"]


def test_names_that_are_none_and_wishes_that_contradict():
    with pytest.raises(InitcheckError, match=r"engine: pass one of 'plain', .* not 'fast'"):
        run(experiment(), engine="fast")
    with pytest.raises(InitcheckError, match=r"batched=True contradicts engine='threads'"):
        run(experiment(), engine="threads", batched=True)
    assert run(experiment(), seeds=2, engine="batched", batched=True).engine == "batched"


@pytest.mark.parametrize("engine", ["threads", "auto"])
def test_on_one_core_the_plain_loop_serves(engine, monkeypatch):
    for room in (threads, processes, workers):
        monkeypatch.setattr(room, "cores", lambda: 1)
    plain = run(experiment(), seeds=2)
    found = run(experiment(), seeds=2, engine=engine)
    assert found.engine.startswith("plain (")
    assert found.curves == plain.curves
