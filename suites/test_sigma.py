"""The effect of sigma: how wide to draw the first layer, and what a bad start looks like.

A small network of sigmoids (784-20-15-15-10) learns 1,200 handwritten digits. The weights and the
biases of its first layer are drawn from N(0, sigma^2), those of the other layers by Glorot's
uniform rule with zero biases. What enters the first sigmoid is XW + b. Where that is large, the
sigmoid is flat, nothing passes it on the way back, and the layer cannot learn. It can be large
because W is (a large sigma) or because X is (a large scale of the inputs):

    case             sigma   inputs          what happens
    good               .1    x               learns
    wide              1      x               in between: three outputs of four are near 0 or 1
    very wide        10      x               the first layer is stuck
    large inputs       .1    (x - .5) * 100   the same, though sigma is the good one
    wide and scaled  20      (x - .5) * .2   the same, though the inputs are small

A good start has three marks, all measured on the first layer:

1. the weights move during training,
2. the gradients are spread around zero before training,
3. the outputs are spread before training.

Every case is trained from 8 seeds, for 30 epochs of Adam in batches of 32, in float64. The bad
cases are meant to be bad: this suite fails when one of them is not found to be.
"""

import functools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from pytest_initcheck import Experiment, InitcheckFailure, sweep
from pytest_initcheck.data import load_mnist
from pytest_initcheck.statistics import paired_difference, share_at_least
from pytest_initcheck.training import draw_normal

SEEDS = 8
# Sigma, and the scale of the inputs: (x - shift) * factor.
CASES = {
    "good": (0.1, 0.0, 1.0),
    "wide": (1.0, 0.0, 1.0),
    "very wide": (10.0, 0.0, 1.0),
    "large inputs": (0.1, 0.5, 100.0),
    "wide and scaled": (20.0, 0.5, 0.2),
}
BAD = ("very wide", "large inputs", "wide and scaled")


class Scale(nn.Module):
    """The inputs on the scale of the case: (x - shift) * factor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.zeros(()))
        self.register_buffer("factor", torch.ones(()))

    def forward(self, x):
        return (x - self.shift) * self.factor


def network():
    """The network of the experiment; `start` sets the scale and draws the weights."""
    return nn.Sequential(
        Scale(),
        nn.Linear(784, 20), nn.Sigmoid(),
        nn.Linear(20, 15), nn.Sigmoid(),
        nn.Linear(15, 15), nn.Sigmoid(),
        nn.Linear(15, 10),
    )  # fmt: skip


def start(model, case):
    """Glorot's uniform weights and zero biases everywhere, then sigma in the first layer."""
    sigma, shift, factor = CASES[case]
    model[0].shift.fill_(shift)
    model[0].factor.fill_(factor)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    draw_normal(model, sigma, layers="first")


IMAGES, LABELS = (tensor[:1500] for tensor in load_mnist("embedded").train)
IMAGES = IMAGES.double()
TRAIN = IMAGES[:1200], LABELS[:1200]
VALIDATION = IMAGES[1200:], LABELS[1200:]


# ----------------------------------------------------------------------------------------------
# What is measured


def first_layer(model):
    """Weights, outputs and weight gradients of the first layer, on all training digits.

    The last number is the share of the gradient that the sigmoid lets pass: the mean size of the
    gradient before it (at XW + b) over that after it, divided by 1/4, the steepest slope of a
    sigmoid. It is 1 where every output is 1/2, and near 0 where every output is near 0 or 1.
    """
    images, labels = TRAIN
    before = model[:2](images)
    outputs = model[2](before)
    loss = nn.functional.cross_entropy(model[3:](outputs), labels)
    weights = model[1].weight
    gradients, at_sum, at_output = torch.autograd.grad(loss, [weights, before, outputs])
    passed = at_sum.abs().mean() / at_output.abs().mean() / 0.25
    flat = (weights, outputs, gradients)
    return [x.detach().flatten().numpy().copy() for x in flat], float(passed)


@functools.cache
def experiments():
    """Train all cases from all seeds: the record of every case, and what `measure` kept.

    The forty small networks train as one program, which is faster than one after the other.
    """
    kept = {"before": [], "after": []}

    def measure(model, moment):
        arrays, passed = first_layer(model)
        kept[moment].append(arrays)
        outputs = arrays[1]
        at_the_ends = float(((outputs < 0.05) | (outputs > 0.95)).mean())
        return {"outputs outside [.05, .95]": at_the_ends, "gradient that passes": passed}

    experiment = Experiment(
        model=network,
        data=TRAIN,
        validation=VALIDATION,
        optimizer=lambda params: torch.optim.Adam(params, fused=True),
        epochs=30,
        batch_size=32,
        dtype=torch.float64,
        measure=measure,
    )
    starts = {case: functools.partial(start, case=case) for case in CASES}
    return sweep(experiment, starts=starts, seeds=SEEDS, batched=True), kept


def trained(case):
    """The record of the case, and its first layers before and after, one for each seed."""
    records, kept = experiments()
    place = list(CASES).index(case) * SEEDS
    layers = {moment: arrays[place : place + SEEDS] for moment, arrays in kept.items()}
    return records[case], layers


def movement(layers):
    """How far the first layer's weights went, relative to their length, for every seed."""
    pairs = zip(layers["before"], layers["after"], strict=True)
    return [float(np.linalg.norm(b[0] - a[0]) / np.linalg.norm(a[0])) for a, b in pairs]


def marks(case):
    """For every seed, which marks of a good start it has: (moves, gradients, outputs)."""
    record, layers = trained(case)
    return [
        (moved > 0.1, passed > 0.5, ends < 0.5)
        for moved, passed, ends in zip(
            movement(layers),
            record.metrics["gradient that passes before"],
            record.metrics["outputs outside [.05, .95] before"],
            strict=True,
        )
    ]


# ----------------------------------------------------------------------------------------------
# The five cases


@pytest.mark.parametrize("case", CASES)
def test_case(initcheck, case):
    """Every case trains without diverging; here it is recorded and drawn, before and after."""
    record, layers = trained(case)
    initcheck.compare("run", record)
    initcheck.picture(f"{case}: sigma = {CASES[case][0]:g}", picture(case, record, layers))
    assert not any(record.metrics["diverged"])


def test_good_start_has_all_three_marks():
    """With sigma = .1 weights move, gradients are spread and outputs are spread."""
    good = sum(all(seed) for seed in marks("good"))
    verdict = share_at_least(good, SEEDS, probability=0.9)
    assert verdict, verdict.sentence


@pytest.mark.parametrize("case", BAD)
def test_bad_start_is_found_bad(case):
    """Saturated from the start: neither outputs nor gradients are spread."""
    found = sum(not gradients and not outputs for _, gradients, outputs in marks(case))
    verdict = share_at_least(found, SEEDS, probability=0.9)
    assert verdict, f"a bad start looks good: {verdict.sentence}"


@pytest.mark.parametrize("case", ["very wide", "wide and scaled"])
def test_wide_weights_stay_where_they_are(case):
    """With a sigma of 10 and more, training moves the weights by a few percent at most."""
    stuck = sum(not moves for moves, _, _ in marks(case))
    verdict = share_at_least(stuck, SEEDS, probability=0.9)
    assert verdict, verdict.sentence


def test_wide_start_is_in_between():
    """With sigma = 1 weights move, but about 73 % of the outputs are outside [.05, .95]."""
    record, _ = trained("wide")
    assert all(moves for moves, _, _ in marks("wide"))
    shares = record.metrics["outputs outside [.05, .95] before"]
    low, high = paired_difference(shares, [0.73] * SEEDS).interval
    assert -0.05 < low < high < 0.05, (low, high)


@pytest.mark.parametrize("case", [case for case in CASES if case != "good"])
def test_good_start_learns_best(case):
    """Seed by seed, sigma = .1 ends with a higher validation accuracy than every other case."""
    good = trained("good")[0].metrics["validation accuracy"]
    other = trained(case)[0].metrics["validation accuracy"]
    gap = paired_difference(good, other, confidence=0.95)
    assert gap.interval[0] > 0, gap


# ----------------------------------------------------------------------------------------------
# What the plugin says about the same starts


def model_and_batch(case, seed=0):
    """The network of a case at its start, and the batch to judge it on."""
    torch.manual_seed(seed)
    model = network().double()
    start(model, case)
    return model, (TRAIN[0][:256], TRAIN[1][:256])


def test_plugin_accepts_the_good_start(initcheck):
    """No layer of the good start is saturated."""
    initcheck.assert_no_saturated_layers(*model_and_batch("good"))


@pytest.mark.parametrize("case", BAD)
def test_plugin_finds_the_bad_start(initcheck, case):
    """The first layer of a bad start is saturated, and the failure says so."""
    with pytest.raises(InitcheckFailure, match="saturation"):
        initcheck.assert_no_saturated_layers(*model_and_batch(case))


# ----------------------------------------------------------------------------------------------
# Pictures


def picture(case, record, layers):
    """Accuracy over the epochs, then three histograms before and after, all seeds together."""
    figure, axes = plt.subplots(1, 4, figsize=(16, 3), layout="constrained")
    epochs = range(1, 31)
    for name in ("accuracy", "validation accuracy"):
        curves = np.array(record.curves[name])
        axes[0].plot(epochs, curves.mean(0), label=name)
        axes[0].fill_between(epochs, curves.min(0), curves.max(0), alpha=0.2)
    axes[0].set(title=f"sigma = {CASES[case][0]:g}", xlabel="epoch", ylim=(0, 1))
    axes[0].legend()
    for ax, place, name in zip(
        axes[1:], range(3), ("weights", "outputs", "gradients"), strict=True
    ):
        for moment in ("after", "before"):
            values = np.concatenate([arrays[place] for arrays in layers[moment]])
            if name == "gradients":
                values = inner_part(values)
            ax.hist(values, bins=30, density=True, alpha=0.5, label=moment)
        ax.set(title=f"layer 0 {name}")
        ax.ticklabel_format(axis="x", scilimits=(-3, 3))
        ax.legend(loc="upper right")
    return figure


def inner_part(gradients):
    """The gradients below the 90th percentile of their size: the rest would hide their shape."""
    limit = np.percentile(np.abs(gradients), 90)
    return gradients[np.abs(gradients) < limit]
