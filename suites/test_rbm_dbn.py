"""Restricted Boltzmann machines, and deep belief networks as a way to start.

A Boltzmann machine of binary visible units v and hidden units h has an energy, and gives every
state the probability exp(-energy) / Z. It is restricted when no two units of one layer are
connected:

    E(v, h) = - a.v - b.h - v W h

Then, the visible units given, the hidden ones are independent of each other (and the other way
round), so that a whole layer is drawn at once: forward x -> y, backward y -> x'.

Contrastive divergence with one step (CD-1; G. Hinton, Neural Computation 14, 2002) lowers the
energy of the data x and raises that of the recreation x'. The free energy F(v) is the energy with
the hidden units summed out, and the gradient of F(x) - F(x') is the CD-1 rule

    dW = <v h>_data - <v h>_recreation

so that an ordinary optimiser can train the machine on that difference. The Kullback-Leibler
divergence compares the actual image with its recreation.

A deep belief network (DBN) stacks such machines, each trained on what the one below makes of the
digits. Its weights are a start for a network of sigmoids, which is then trained with labels.
"""

import itertools

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import Experiment
from pytest_initcheck.data import load_mnist
from pytest_initcheck.statistics import paired_difference, share_at_least

SEEDS = 8
MNIST = load_mnist("embedded")
DIGITS = MNIST.train_images[:1500]
HELD_OUT = MNIST.test_images[:500]


class RBM(nn.Module):
    """Restricted Boltzmann machine: one matrix between the layers, a bias for every unit."""

    def __init__(self, visible, hidden):
        super().__init__()
        self.W = nn.Parameter(torch.randn(visible, hidden) * 0.01)
        self.a = nn.Parameter(torch.zeros(visible))
        self.b = nn.Parameter(torch.zeros(hidden))

    def energy(self, v, h):
        """Energy of states: v of shape (n, visible), h of shape (n, hidden)."""
        return -(v @ self.a) - (h @ self.b) - ((v @ self.W) * h).sum(-1)

    def free_energy(self, v):
        """Energy of v with the hidden units summed out: -ln of the sum over h of exp(-E)."""
        return -(v @ self.a) - functional.softplus(v @ self.W + self.b).sum(-1)

    def up(self, v):
        """Forward: probability that every hidden unit is on."""
        return torch.sigmoid(v @ self.W + self.b)

    def down(self, h):
        """Backward: probability that every visible unit is on."""
        return torch.sigmoid(h @ self.W.T + self.a)

    def recreate(self, v):
        """Forward and backward without chance: what the machine makes of v."""
        return self.down(self.up(v))

    def forward(self, v):
        """F(x) - F(x') for a batch x: its gradient is that of contrastive divergence.

        x and the hidden units are drawn; x' is left as probabilities, which has less noise.
        """
        v = torch.bernoulli(v)
        with torch.no_grad():
            recreation = self.down(torch.bernoulli(self.up(v)))
        return self.free_energy(v) - self.free_energy(recreation)


def divergence(model, images):
    """Mean Kullback-Leibler divergence of the recreation from the image, in nats per image.

    A pixel is the probability of ink, so that an image is a set of coins, one for each pixel.
    """
    p, q = images.double(), model.recreate(images).double().clamp(1e-7, 1 - 1e-7)
    bits = torch.xlogy(p, p / q) + torch.xlogy(1 - p, (1 - p) / (1 - q))
    return float(bits.sum(-1).mean())


def error(model, images):
    """Mean squared error of the recreation, per pixel."""
    return float(((model.recreate(images) - images) ** 2).mean())


def contrastive_divergence(hidden, digits, epochs, measure=None):
    """The training of a machine by CD-1, with plain gradient descent and momentum."""
    return Experiment(
        model=lambda: RBM(digits.shape[1], hidden),
        data=(digits, digits),
        loss=lambda gap, _: gap.mean(),
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5),
        epochs=epochs,
        batch_size=50,
        measure=measure,
    )


# ----------------------------------------------------------------------------------------------
# Restricted: no connections within a layer


def test_parameters_connect_layers_only():
    """The only matrix goes from visible to hidden: there is none within a layer."""
    shapes = {name: tuple(p.shape) for name, p in RBM(6, 4).named_parameters()}
    assert shapes == {"W": (6, 4), "a": (6,), "b": (4,)}


def test_energy_has_no_term_for_two_units_of_one_layer():
    """Turning on two units of a layer costs the sum of both; only v and h have a term in common."""
    torch.manual_seed(0)
    model = RBM(6, 4).double()
    nn.init.normal_(model.W)
    v, h = torch.zeros(6).double(), torch.zeros(4).double()

    def interaction(v_on, h_on):
        """E(both on) - E(first) - E(second) + E(none): the energy of the connection."""
        (first, i), (second, j) = [("v", i) for i in v_on] + [("h", j) for j in h_on]
        total = 0.0
        for one, two in itertools.product((0, 1), repeat=2):
            state = {"v": v.clone(), "h": h.clone()}
            state[first][i], state[second][j] = one, two
            energy = model.energy(state["v"][None], state["h"][None])
            total += (1 if one == two else -1) * energy.item()
        return total

    for pair in itertools.combinations(range(6), 2):
        assert abs(interaction(pair, ())) < 1e-12
    for pair in itertools.combinations(range(4), 2):
        assert abs(interaction((), pair)) < 1e-12
    for i, j in itertools.product(range(6), range(4)):
        assert abs(interaction((i,), (j,)) + model.W[i, j].item()) < 1e-12


def test_units_of_a_layer_are_independent_given_the_other():
    """All states of a small machine, counted: p(h | v) is the product of p(h_j | v)."""
    torch.manual_seed(0)
    model = RBM(4, 3).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).double()
    for v in torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).double():
        counted = torch.softmax(-model.energy(v.expand(8, 4), states), 0)
        on = model.up(v)
        product = (states * on + (1 - states) * (1 - on)).prod(-1)
        torch.testing.assert_close(counted, product)


def test_gradient_is_the_rule_of_contrastive_divergence():
    """The gradient of F(x) - F(x') is <v h> of the recreation minus <v h> of the data."""
    torch.manual_seed(0)
    model = RBM(6, 4).double()
    data, recreation = torch.bernoulli(torch.full((2, 32, 6), 0.5)).double()
    (model.free_energy(data) - model.free_energy(recreation)).mean().backward()
    rule = recreation.T @ model.up(recreation) - data.T @ model.up(data)
    torch.testing.assert_close(model.W.grad, rule / 32)


# ----------------------------------------------------------------------------------------------
# Contrastive divergence learns


def test_recreation_gets_better(initcheck):
    """Squared error and divergence of the recreation fall, on digits it has never seen."""
    shown = []

    def measure(model, moment):
        with torch.no_grad():
            shown.append((moment, model.recreate(HELD_OUT[:10]).numpy()))
            return {
                "reconstruction error": error(model, HELD_OUT),
                "divergence": divergence(model, HELD_OUT),
            }

    record = initcheck.run(
        contrastive_divergence(64, DIGITS, epochs=5, measure=measure), seeds=SEEDS
    )
    initcheck.picture("Digits and their recreations", recreations_picture(shown))
    for name in ("reconstruction error", "divergence"):
        before, after = (record.metrics[f"{name} {moment}"] for moment in ("before", "after"))
        halved = sum(a < b / 2 for b, a in zip(before, after, strict=True))
        verdict = share_at_least(halved, SEEDS, probability=0.9)
        assert verdict, f"{name} is not halved: {verdict.sentence}"
        assert paired_difference(before, after).interval[0] > 0


# ----------------------------------------------------------------------------------------------
# Deep belief network: machines on top of each other as a start

HIDDEN = (128, 128, 128)
LABELLED = 500


def network():
    """The network that is fine-tuned: 784-128-128-128-10, sigmoids."""
    layers = []
    for fan_in, fan_out in itertools.pairwise((784, *HIDDEN)):
        layers += [nn.Linear(fan_in, fan_out), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], 10))


def xavier(model):
    """Xavier's uniform weights, zero biases."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def deep_belief(model):
    """Train a machine for every hidden layer, each on the output of the last; copy its weights.

    No label is used. The output layer starts by Xavier's rule.
    """
    xavier(model)
    data = DIGITS
    for layer, hidden in zip(model[0:-1:2], HIDDEN, strict=True):
        machine = trained_machine(hidden, data)
        with torch.no_grad():
            layer.weight.copy_(machine.W.T)
            layer.bias.copy_(machine.b)
            data = machine.up(data)


def trained_machine(hidden, data, epochs=3):
    """A machine trained by CD-1 on data of shape (n, visible)."""
    machine = RBM(data.shape[1], hidden)
    optimizer = torch.optim.SGD(machine.parameters(), lr=0.1, momentum=0.5)
    for _ in range(epochs):
        for batch in data[torch.randperm(len(data))].split(50):
            optimizer.zero_grad()
            machine(batch).mean().backward()
            optimizer.step()
    return machine


def fine_tuning(start):
    """Ten epochs of Adam on the labelled digits."""
    return Experiment(
        model=network,
        initialise=start,
        data=(DIGITS[:LABELLED], MNIST.train_labels[:LABELLED]),
        validation=MNIST.test,
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3),
        epochs=10,
        batch_size=50,
    )


def test_deep_belief_network_starts_ahead_of_xavier(initcheck):
    """Three layers of sigmoids, few labels: after the same fine-tuning the DBN is ahead.

    Both networks see the same 500 labelled digits in the same order for ten epochs. What the DBN
    has in advance is what its machines learned from 1,500 digits without labels.
    """
    records = {
        name: initcheck.run(fine_tuning(start), seeds=SEEDS, name=name)
        for name, start in {"DBN": deep_belief, "Xavier": xavier}.items()
    }
    initcheck.picture("Fine-tuning from two starts", accuracy_picture(records))
    dbn, other = (records[name].metrics["validation accuracy"] for name in ("DBN", "Xavier"))
    gain = paired_difference(dbn, other, confidence=0.95)
    assert gain.interval[0] > 0, gain


# ----------------------------------------------------------------------------------------------
# Pictures


def recreations_picture(shown):
    """Ten digits, and what the first machine made of them before and after its training."""
    rows = {"digit": HELD_OUT[:10].numpy()}
    for moment, images in shown:
        rows.setdefault(moment, images)
    figure, axes = plt.subplots(len(rows), 1, figsize=(8, 3), layout="constrained")
    for ax, (title, images) in zip(axes, rows.items(), strict=True):
        ax.imshow(images.reshape(10, 28, 28).swapaxes(0, 1).reshape(28, 280), cmap="gray_r")
        ax.set(xticks=[], yticks=[], ylabel=title)
    return figure


def accuracy_picture(records):
    """Test accuracy over the epochs of fine-tuning, a line for every seed."""
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    for colour, (name, record) in zip(("tab:blue", "tab:orange"), records.items(), strict=True):
        for seed, curve in enumerate(record.curves["validation accuracy"]):
            label = name if seed == 0 else None
            ax.plot(range(1, len(curve) + 1), curve, colour, alpha=0.6, label=label)
    ax.set(xlabel="epoch", ylabel="accuracy on the test digits")
    ax.legend()
    return figure
