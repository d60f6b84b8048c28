"""How the first weights decide: zero, Xavier, He, PyTorch's default and N(0, 1) on MNIST.

Weights must not be all zero: then every gradient is zero, and nothing is ever learned. They must
not be too wide either, or the outputs explode. Xavier's rule keeps the spread of the values the
same from layer to layer: uniform with variance 2 / (fan_in + fan_out). He's rule, variance
2 / fan_in, makes up for the half of the values that a ReLU cuts away.

The network is 784-256-256-10 with ReLU, trained by Adam (lr 1e-3) in batches of 100 on digits with
pixels in [0, 1], as in the experiment "mnist_nn_xavier"; "mnist_nn_deep" is the same with four
hidden layers of 512. A training is repeated from 8 seeds, and what is asserted is asserted of the
share of seeds, or of differences seed by seed, with a confidence of 95 %.

All tests use the 5,000 and 1,000 digits that come with the package. The last one repeats the
experiment at full size where the folder of all 60,000 is given (`--initcheck-mnist=DIR`).
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from pytest_initcheck import Experiment, InitcheckFailure
from pytest_initcheck.data import load_mnist
from pytest_initcheck.statistics import band, outside_band, paired_difference

SEEDS = 8
MNIST = load_mnist("embedded")
# A GPU has no stored baseline; its results are held against the assertions alone.
DEVICES = ["cpu"]
if torch.cuda.is_available():
    DEVICES.append(pytest.param("cuda", marks=pytest.mark.initcheck(baseline=False)))


def network(*sizes):
    """Linear layers of these sizes with ReLU between them."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def shallow():
    """The network of mnist_nn_xavier."""
    return network(784, 256, 256, 10)


def deep():
    """The network of mnist_nn_deep."""
    return network(784, 512, 512, 512, 512, 10)


def linear_layers(model):
    """The layers that have weights."""
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def zero(model):
    """All weights and biases zero."""
    for layer in linear_layers(model):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def xavier(model):
    """Xavier's uniform rule for the weights; the biases keep PyTorch's default."""
    for layer in linear_layers(model):
        nn.init.xavier_uniform_(layer.weight)


def he(model):
    """He's uniform rule for the weights; the biases keep PyTorch's default."""
    for layer in linear_layers(model):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")


def standard_normal(model):
    """Weights and biases from N(0, 1)."""
    for layer in linear_layers(model):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)


def experiment(initialise, epochs, model=shallow, mnist=MNIST, digits=None):
    """The training of mnist_nn_xavier, on the first ``digits`` digits of the training set."""
    return Experiment(
        model=model,
        initialise=initialise,
        data=(mnist.train_images[:digits], mnist.train_labels[:digits]),
        validation=mnist.test,
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3, fused=True),
        epochs=epochs,
        batch_size=100,
        drop_last=True,
    )


# ----------------------------------------------------------------------------------------------
# Not all zeros


def test_zero_weights_give_zero_gradients(initcheck):
    """With all weights zero only the last bias gets a gradient: the rest can never move."""
    model = shallow()
    zero(model)
    batch = (MNIST.train_images[:100], MNIST.train_labels[:100])
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    last = linear_layers(model)[-1].bias
    for name, parameter in model.named_parameters():
        if parameter is not last:
            assert torch.count_nonzero(parameter.grad) == 0, name
    assert torch.count_nonzero(last.grad) > 0
    assert initcheck.diagnose(model, batch, expect="IC101").verdict == "fail"


def test_zero_weights_fail_the_guard(initcheck):
    """A test that guards a model against a bad start fails when the weights are all zero."""
    model = shallow()
    zero(model)
    with pytest.raises(InitcheckFailure, match="zero"):
        initcheck.assert_healthy(model, (MNIST.train_images[:100], MNIST.train_labels[:100]))


# ----------------------------------------------------------------------------------------------
# Xavier


@pytest.mark.parametrize("device", DEVICES)
def test_xavier_reaches_its_accuracy(initcheck, device):
    """Three epochs are enough for 92 % of the test digits, from nine seeds of ten."""
    record = initcheck.assert_reaches(
        experiment(xavier, epochs=3),
        accuracy=0.92,
        seeds=SEEDS,
        probability=0.9,
        device=device,
    )
    initcheck.picture("Xavier: cost and accuracy", curves_picture({"Xavier": record}))
    initcheck.picture("Xavier: weights", weights_picture(record))


@pytest.mark.parametrize("device", DEVICES)
def test_deep_variant_reaches_its_accuracy(initcheck, device):
    """Xavier carries four hidden layers of 512 to 80 % within 30 steps."""
    initcheck.assert_reaches(
        experiment(xavier, epochs=1, model=deep, digits=3000),
        accuracy=0.8,
        seeds=SEEDS,
        probability=0.9,
        device=device,
    )


# ----------------------------------------------------------------------------------------------
# Xavier, He, the default and N(0, 1) from the same seeds


@pytest.mark.parametrize("device", DEVICES)
def test_initialisations_compared_seed_by_seed(initcheck, device):
    """After two epochs on 2,000 digits: Xavier equals He, beats the default, and N(0, 1) by far.

    A seed fixes the order of the digits whatever the weights are, so that two rules can be
    compared seed by seed, which is sharper than comparing two means.
    """
    rules = {"Xavier": xavier, "He": he, "default": lambda model: model, "N(0, 1)": standard_normal}
    records = initcheck.sweep(
        experiment(None, epochs=2, digits=2000), starts=rules, seeds=SEEDS, device=device
    )
    initcheck.picture("Four rules", curves_picture(records))

    def gain_over(other):
        ours, theirs = (records[name].metrics["validation accuracy"] for name in ("Xavier", other))
        return paired_difference(ours, theirs, confidence=0.95)

    he_gap, default_gap, wide_gap = map(gain_over, ("He", "default", "N(0, 1)"))
    assert max(map(abs, he_gap.interval)) < 0.03, he_gap
    assert default_gap.interval[0] > 0, default_gap
    assert wide_gap.interval[0] > 0.3, wide_gap


def test_first_cost_tells_the_rules_apart(initcheck):
    """Ten classes by chance cost ln 10 = 2.3. Xavier starts there, N(0, 1) at hundreds of it."""
    images, labels = MNIST.train_images[:1000], MNIST.train_labels[:1000]
    costs = {}
    for name, rule in {"Xavier": xavier, "He": he, "N(0, 1)": standard_normal}.items():
        costs[name] = []
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            model = shallow()
            rule(model)
            costs[name].append(nn.functional.cross_entropy(model(images), labels).item())
    initcheck.compare("first cost", costs)
    assert all(2.1 < cost < 3.0 for cost in costs["Xavier"] + costs["He"]), costs
    assert all(cost > 230 for cost in costs["N(0, 1)"]), costs


# ----------------------------------------------------------------------------------------------
# The experiment at full size

FULL = load_mnist()
SOURCE_COSTS = (0.2440, 0.0919, 0.0594)  # Mean cost of epochs 1 to 3, as printed in the source.


@pytest.mark.skipif(not FULL.full, reason="needs all 60,000 digits: pass --initcheck-mnist=DIR")
@pytest.mark.initcheck(baseline=False)
def test_full_size_repeats_the_source(initcheck):
    """Three epochs reach 97 %, and the printed cost curve is one that these seeds could give."""
    record = initcheck.assert_reaches(
        experiment(xavier, epochs=3, mnist=FULL), accuracy=0.97, seeds=SEEDS, probability=0.9
    )
    initcheck.picture("Xavier on all of MNIST", curves_picture({"Xavier": record}))
    assert outside_band(SOURCE_COSTS, record.curves["loss"], confidence=0.95) == ()


# ----------------------------------------------------------------------------------------------
# Pictures


def curves_picture(records):
    """Cost and test accuracy over the epochs: mean of the seeds, and the band for one more."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for ax, name in zip(axes, ("loss", "validation accuracy"), strict=True):
        for label, record in records.items():
            curves = record.curves[name]
            epochs = range(1, len(curves[0]) + 1)
            ax.plot(epochs, np.mean(curves, axis=0), marker=".", label=label)
            ax.fill_between(epochs, *band(curves), alpha=0.2)
        ax.set(title=name, xlabel="epoch")
        ax.legend()
    axes[0].set_yscale("log")
    return figure


def weights_picture(record):
    """Histogram of every layer's weights, all seeds together, before and after training."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
    for ax, before, after in zip(axes, record.before.layers, record.after.layers, strict=True):
        for moment, layer in (("before", before), ("after", after)):
            histogram = layer.weights["weight"].histogram
            ax.stairs(histogram.counts, histogram.edges, fill=True, alpha=0.5, label=moment)
        ax.set(title=f"weights of layer {before.name}")
        ax.legend()
    return figure
