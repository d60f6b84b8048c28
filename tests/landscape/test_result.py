"""What `escape` returns, what it shows, and what it refuses."""

import json
import math

import pytest
import torch
from torch import optim

from pytest_initcheck import InitcheckError, RunRecord, escape
from pytest_initcheck.serialization import decode, encode
from pytest_initcheck.statistics import wilson


def quartic(w):
    return 2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48


def bowl(w):
    return (w**2).sum()


def sgd(lr=0.01, momentum=0.0):
    return lambda parameters: optim.SGD(parameters, lr=lr, momentum=momentum)


@pytest.fixture(scope="module")
def noisy():
    return escape(
        quartic, 6.0, sgd(0.001, 0.9), 100, noise=100, seeds=32, reached=lambda w: w < 1.375
    )


# Shares


def test_the_share_is_the_share_of_final_points_that_the_predicate_accepts(noisy):
    past = (noisy.final[:, 0] < 1.375).tolist()
    assert list(noisy.escaped) == past
    assert 0 < sum(past) < 32
    assert noisy.share() == sum(past) / 32
    assert noisy.interval() == wilson(sum(past), 32)
    assert noisy.share(lambda w: w >= 1.375) == pytest.approx(1 - noisy.share())
    assert noisy.verdict(probability=0.5).successes == sum(past)


def test_the_verdict_is_of_the_share(noisy):
    assert noisy.verdict(probability=0.5)
    assert not noisy.verdict(probability=1.0)


def test_without_a_predicate_nothing_is_known_to_have_escaped():
    found = escape(bowl, 1.0, sgd(), 3)
    with pytest.raises(InitcheckError, match="pass reached="):
        _ = found.escaped
    assert found.share(lambda w: w < 2) == 1.0


@pytest.mark.parametrize("predicate", [lambda w: w > 0, lambda w: w.missing, lambda: True])
def test_a_predicate_that_gives_no_truth_value_is_refused(predicate):
    found = escape(bowl, [1.0, 2.0], sgd(), 3, reached=predicate)
    with pytest.raises(InitcheckError, match="one truth value"):
        found.share()


# The record


def test_the_record_holds_curves_metrics_and_ends_and_survives_json(noisy):
    record = noisy.run_record()
    assert record.seeds == tuple(range(32))
    assert set(record.curves) == {"w0", "objective"}
    assert len(record.curves["w0"]) == 32
    assert len(record.curves["objective"][0]) == 101
    assert record.metrics["final w0"] == tuple(noisy.final[:, 0].tolist())
    assert set(record.metrics["escaped"]) == {0.0, 1.0}
    assert record.meta["noise"] == "100 on the gradient"
    assert record.meta["optimizer"] == "SGD(lr=0.001, momentum=0.9)"
    assert record.meta["ends"].split(", ") == list(noisy.ends)
    assert decode(RunRecord, json.loads(json.dumps(encode(record), allow_nan=False))) == record


def test_the_record_of_a_diverged_seed_survives_json():
    found = escape(bowl, 1.0, sgd(lr=3.0), 300, seeds=1)
    text = json.dumps(encode(found.run_record()), allow_nan=False)
    again = decode(RunRecord, json.loads(text))
    assert not math.isfinite(again.metrics["final w0"][0])


def test_the_record_of_many_dimensions_shows_the_first_eight():
    record = escape(bowl, torch.ones(20), sgd(), 3, seeds=1).run_record()
    assert set(record.curves) == {*(f"w{i}" for i in range(8)), "objective"}


def test_the_summary_counts_the_ends(noisy):
    counts = [part.split(" of 32 ")[0] for part in noisy.summary().split(", ")]
    assert sum(map(int, counts)) == 32


# Pictures


def lines(figure):
    return figure.axes[0].get_lines()


def test_one_dimension_is_drawn_on_the_curve():
    found = escape(quartic, 6.0, sgd(0.001, 0.9), 100)
    curve, points = lines(found.plot(span=(-4, 6)))
    assert curve.get_xdata()[0] == pytest.approx(-4)
    assert curve.get_ydata()[-1] == pytest.approx(quartic(6.0), rel=1e-5)
    assert points.get_xdata().tolist() == found.trajectories[0, :, 0].tolist()
    assert points.get_ydata().tolist() == found.values[0].tolist()


def test_many_seeds_are_drawn_as_eight_and_the_ends_of_all(noisy):
    curve, *seeds, ends = lines(noisy.plot())
    assert len(curve.get_xdata()) > 100
    assert len(seeds) == 8
    assert sorted(ends.get_xdata().tolist()) == sorted(noisy.final[:, 0].tolist())


def test_two_dimensions_are_drawn_on_contours():
    found = escape(bowl, [3.0, -2.0], sgd(0.1), 20, noise=1.0, seeds=3)
    figure = found.plot()
    assert len(lines(figure)) == 3
    assert figure.axes[0].collections


def test_more_dimensions_are_drawn_over_the_steps():
    (line,) = lines(escape(bowl, [1.0, 2.0, 3.0], sgd(0.1), 20).plot())
    assert len(line.get_ydata()) == 21


@pytest.mark.parametrize("start", [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]])
def test_a_diverged_trajectory_can_be_drawn(start):
    figure = escape(bowl, start, sgd(lr=3.0), 300, seeds=2).plot()
    figure.canvas.draw()
    assert figure.axes


@pytest.mark.parametrize("span", [(3, 1), (1,), 5])
def test_a_span_that_is_no_range_is_refused(span):
    with pytest.raises(InitcheckError, match=r"pass \(low, high\)"):
        escape(bowl, 1.0, sgd(), 3).plot(span=span)


# Bad input


def raising(w):
    raise ZeroDivisionError("no such place")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": 3}, "objective is a int; pass a function"),
        ({"objective": lambda w: 3.0}, "returned a float; return a tensor"),
        ({"objective": lambda w: None}, "returned None; return a tensor"),
        ({"objective": lambda w: w**2, "start": [1.0, 2.0]}, r"shape \(2,\); return a scalar"),
        ({"objective": lambda w: torch.tensor(1.0)}, "does not depend on w"),
        ({"objective": lambda w: w.detach().sum()}, "does not depend on w"),
        ({"objective": lambda w: torch.ones(1, requires_grad=True)}, "does not depend on w"),
        ({"objective": raising}, r"objective raised ZeroDivisionError.*shape \(1,\)"),
        ({"start": "here"}, "pass a number"),
        ({"start": None}, "pass a number"),
        ({"start": True}, "pass real numbers"),
        ({"start": 1j}, "pass real numbers"),
        ({"start": []}, "start is empty"),
        ({"start": math.nan}, "pass finite numbers"),
        ({"start": [1.0, math.inf]}, "pass finite numbers"),
        ({"optimizer": None}, "pass a callable from parameters"),
        ({"optimizer": optim.SGD([torch.ones(1, requires_grad=True)])}, "pass a callable"),
        ({"optimizer": lambda: None}, "optimizer factory raised TypeError"),
        ({"optimizer": lambda p: optim.SGD(p, lr=-1)}, "optimizer factory raised ValueError"),
        ({"optimizer": lambda p: None}, "returned None; return a torch.optim.Optimizer"),
        (
            {"optimizer": lambda p: optim.SGD([torch.ones(1, requires_grad=True)])},
            "does not hold the parameter",
        ),
        ({"steps": -1}, "pass a whole number of steps"),
        ({"steps": 1.5}, "pass a whole number of steps"),
        ({"steps": True}, "pass a whole number of steps"),
        ({"noise": -0.1}, "pass the noise's standard deviation"),
        ({"noise": math.nan}, "pass the noise's standard deviation"),
        ({"noise": "much"}, "pass the noise's standard deviation"),
        ({"noise_on": "weights"}, 'pass "gradient" or "loss"'),
        ({"seeds": []}, "pass at least one seed"),
        ({"seeds": 0}, "pass at least one seed"),
        ({"seeds": [1, 1]}, "each of them once"),
        ({"seeds": [-1]}, "none negative"),
        ({"seeds": [0.5]}, "pass whole numbers"),
        ({"seeds": "all"}, "pass whole numbers"),
        ({"seeds": None}, "pass whole numbers"),
    ],
)
def test_bad_input_is_told_what_to_pass(change, message):
    call = {"objective": bowl, "start": 1.0, "optimizer": sgd(), "steps": 3, **change}
    with pytest.raises(InitcheckError, match=message):
        escape(**call)


def test_an_objective_that_fails_on_the_way_is_named_as_the_cause():
    def fragile(w):
        if w.item() < 0.5:
            raise ValueError("out of range")
        return w**2

    with pytest.raises(InitcheckError, match="objective raised ValueError: out of range"):
        escape(fragile, 1.0, sgd(0.1), 50)


class Broken(optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("out of order")


class Idle(optim.SGD):
    def step(self, closure):
        return None


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Broken, "step raised RuntimeError: out of order"), (Idle, "never called its closure")],
)
def test_an_optimizer_that_cannot_step_is_named_as_the_cause(kind, message):
    with pytest.raises(InitcheckError, match=message):
        escape(bowl, 1.0, lambda p: kind(p, lr=0.1), 3)
