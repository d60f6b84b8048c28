"""Stacks run a trace of their step, which is given up where it differs from the step."""

import itertools

import pytest
import torch
from support.training import experiment, points
from torch import nn

from pytest_initcheck import InitcheckError, run
from pytest_initcheck.training import batched, tracing, workers
from pytest_initcheck.training.prepare import prepare


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Two workers, traces of everything, and a note of each."""
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(batched, "_WORTH_TRACING", 1)
    made = []
    own = batched._programs

    def programs(jobs):
        made.append(own(jobs))
        return made[-1]

    monkeypatch.setattr(batched, "_programs", programs)
    return made


def numbers(record):
    curves = itertools.chain(*(itertools.chain(*record.curves[key]) for key in record.curves))
    return torch.tensor([*curves, *itertools.chain(*record.metrics.values())]).double()


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.inner(x)
        hidden.mul_(0.5)
        hidden[:, 0] = 0
        return self.out(hidden.relu_())


class Frozen(nn.Module):
    """A layer that does not learn, one that is not used, and a buffer that changes."""

    def __init__(self):
        super().__init__()
        self.inner, self.out, self.unused = nn.Linear(2, 8), nn.Linear(8, 3), nn.Linear(8, 3)
        self.inner.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        hidden = torch.tanh(self.inner(x))
        self.mean.lerp_(hidden.detach().mean(0), 0.1)
        return self.out(hidden + self.mean)


def normed():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def convolved():
    return nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)),
        nn.Conv2d(1, 4, (1, 2)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


@pytest.mark.parametrize("model", [None, InPlace, Frozen, normed, convolved])
def test_a_trace_gives_what_the_plain_loop_gives(model, eager):
    chosen = experiment(
        epochs=6,
        validation=points(20),
        dtype=torch.float64,
        optimizer=lambda params: torch.optim.Adam(params, lr=0.01),
        **({"model": model} if model else {}),
    )
    plain, traced = (run(chosen, seeds=9, engine=engine) for engine in ("plain", "batched"))
    (programs,) = eager
    assert len(programs) == 4
    assert all(programs.values())
    torch.testing.assert_close(numbers(traced), numbers(plain), rtol=1e-9, atol=1e-9)
    for mine, own in zip(traced.after.layers, plain.after.layers, strict=True):
        for key, stats in own.weights.items():
            assert mine.weights[key].mean == pytest.approx(stats.mean, rel=1e-9, abs=1e-9)


def test_regression_and_batches_of_one():
    inputs, _ = points(12)
    chosen = experiment(
        model=lambda: nn.Linear(2, 2),
        data=(inputs, inputs * 2),
        batch_size=1,
        shuffle=False,
        dtype=torch.float64,
    )
    plain, traced = (run(chosen, seeds=8, engine=engine) for engine in ("plain", "batched"))
    torch.testing.assert_close(numbers(traced), numbers(plain), rtol=1e-9, atol=1e-9)


class Counting(nn.Linear):
    """Multiplies by another number from its ninth call on, of which no tensor knows."""

    def __init__(self):
        super().__init__(2, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) * (2.0 if self.calls > 8 else 1.0)


def test_what_python_notes_at_every_step_is_not_traced(eager):
    chosen = experiment(model=Counting, dtype=torch.float64)
    plain, stacked = (run(chosen, seeds=8, engine=engine) for engine in ("plain", "batched"))
    assert set(eager[0].values()) == {None}
    torch.testing.assert_close(numbers(stacked), numbers(plain), rtol=1e-9, atol=1e-9)


def test_a_trace_that_turns_out_wrong_is_given_up_and_all_is_trained_anew(eager):
    calls, ticks = [], []

    def loss(outputs, targets):
        """Another one at every call, which is no experiment, but no reason to invent one."""
        calls.append(0)
        return nn.functional.cross_entropy(outputs, targets) / len(calls)

    chosen = prepare(experiment(loss=loss, dtype=torch.float64))
    models = [nn.Linear(2, 3).double() for _ in range(8)]
    was = models[0].weight.clone()
    histories = batched.train(chosen, models, list(range(8)), ticks.append)
    assert all(eager[0].values())
    assert sum(ticks) == 24
    assert len(histories) == 8
    assert not torch.equal(models[0].weight, was)


def test_what_cannot_be_traced_runs_as_it_is():
    assert tracing.traced(lambda x: x * (1 if x.sum().item() > 0 else 2), (torch.ones(2),)) is None


def test_a_trace_has_no_operators_that_compute_nothing():
    weight = torch.randn(3, 4, 2, requires_grad=True)
    inputs = torch.randn(3, 5, 2)

    def step(weight, inputs):
        outputs = torch.bmm(inputs, weight.transpose(1, 2)).expand(3, 5, 4) * 1
        (gradient,) = torch.autograd.grad(outputs.square().sum(), [weight])
        return outputs.detach().view(3, 5, 4), gradient.contiguous()

    program = tracing.traced(step, (weight, inputs))
    names = [str(node.target) for node in program.__self__.graph.nodes]
    assert not {"aten.detach.default", "aten.alias.default", "aten.clone.default"} & set(names)
    for mine, own in zip(program(weight, inputs), step(weight, inputs), strict=True):
        torch.testing.assert_close(mine, own)
        assert mine.is_contiguous()


def test_a_product_by_one_stays_where_something_is_written_to():
    def step(x):
        return (x * 1).add_(1)

    program = tracing.traced(step, (torch.zeros(2),))
    given = torch.zeros(2)
    assert program(given)[0].tolist() == [1.0, 1.0] or program(given).tolist() == [1.0, 1.0]
    assert given.tolist() == [0.0, 0.0]


def test_an_error_of_a_stack_in_another_process_is_that_of_one_in_this():
    class Looking(nn.Linear):
        def forward(self, x):
            outputs = super().forward(x)
            return outputs * (2 if outputs.sum().item() else 1)

    said = []
    for seeds in (2, 9):
        with pytest.raises(InitcheckError, match="pass batched=False") as caught:
            run(experiment(model=lambda: Looking(2, 3)), seeds=seeds, engine="batched")
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("models", "cores", "width", "expected"),
    [
        (64, 2, 2, [32, 32]),
        (3, 8, 2, [3]),
        (9, 2, 2, [4, 5]),
        (64, 2, 8192, [6, 6, 7, 6, 7, 6, 6, 7, 6, 7]),
    ],
)
def test_stacks_are_as_large_as_fits_and_as_many_as_there_are_workers(
    models, cores, width, expected, monkeypatch
):
    monkeypatch.setattr(workers, "cores", lambda: cores)
    chosen = prepare(experiment(data=(torch.zeros(4, width), torch.zeros(4).long()), batch_size=1))
    found = batched.parts(chosen, [nn.Linear(width, 8) for _ in range(models)])
    assert [len(range(models)[part]) for part in found] == expected
