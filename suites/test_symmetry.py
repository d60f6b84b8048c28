"""Identical initial weights: two hidden units that can never become different.

A network with one input, two hidden sigmoid units and one sigmoid output has to draw a box: 1 where
−4 < x < 4, else 0. It needs both units, one for each edge of the box. Start all its weights at 1
and all its biases at 0, and both units compute the same, get the same gradient and take the same
step, for ever: the network is one unit, twice. PyTorch's random default start breaks the tie.

Each training is 1,000 epochs of 40 single steps (batch 1, in order, SGD with rate 0.1). To run many
starts and both losses in seconds, all of them are trained as *one* numpy program with the gradients
written out; `test_the_formulas_are_what_autograd_computes` holds it against the plain PyTorch loop
that one would write for a single network.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from pytest_initcheck import InitcheckFailure, RunRecord
from pytest_initcheck.records import Points, Scatter
from pytest_initcheck.statistics import share_at_least

EPOCHS, RATE = 1000, np.float32(0.1)
PICTURED = (0, 300, 600, 900)
SEEDS = tuple(range(8))
LOSSES = ("BCE", "MSE")

X = torch.arange(-20, 20).float().view(-1, 1)
Y = ((X > -4) & (X < 4)).float()
EXAMPLES = list(zip(X.flatten().numpy(), Y.flatten().numpy(), strict=True))


class Net(nn.Module):
    """1 input, 2 hidden sigmoid units, 1 sigmoid output; the activations are function calls."""

    def __init__(self):
        super().__init__()
        self.linear1 = nn.Linear(1, 2)
        self.linear2 = nn.Linear(2, 1)

    def forward(self, x):
        return torch.sigmoid(self.linear2(torch.sigmoid(self.linear1(x))))


def cross_entropy(output, label):
    """Binary cross-entropy, written by hand."""
    return -torch.mean(label * torch.log(output) + (1 - label) * torch.log(1 - output))


def squared_error(output, label):
    return torch.mean((output - label) ** 2)


def identical():
    """A network with every weight 1 and every bias 0."""
    net = Net()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return net


def default(seed):
    """A network with PyTorch's own random start."""
    torch.manual_seed(seed)
    return Net()


# All networks as one program, in float32 like PyTorch. A network is a row of 7 numbers:
# the 2 weights and 2 biases of linear1, the 2 weights and the bias of linear2.


def as_row(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()]).numpy()


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def hidden(row, x):
    """The two hidden activations of one network: inputs × 2."""
    return sigmoid(row[0:2] * x + row[2:4])


def output(row, x):
    return sigmoid(hidden(row, x) @ row[4:6] + row[6])


@dataclass
class Training:
    """Networks after some epochs (losses × starts × 7) and costs (epochs × losses × starts)."""

    rows: dict[int, np.ndarray]
    costs: np.ndarray


def train(starts, epochs=EPOCHS):
    """Train every start with both losses; the first axis of everything is the loss."""
    rows = np.stack([starts] * len(LOSSES))
    parameters = np.split(rows, (2, 4, 6), axis=-1)
    kept, costs = {}, []
    for epoch in range(epochs):
        outputs = np.stack([step(*parameters, x, y) for x, y in EXAMPLES])
        costs.append(cost_of_epoch(outputs))
        if epoch in PICTURED or epoch == epochs - 1:
            kept[epoch] = rows.copy()
    return Training(kept, np.stack(costs))


def step(weight1, bias1, weight2, bias2, x, y):
    """One SGD step of every network on the example (x, y), in place; returns the outputs."""
    a = sigmoid(weight1 * x + bias1)
    p = sigmoid((weight2 * a).sum(-1, keepdims=True) + bias2)
    # The gradient at the output's pre-activation: p − y for cross-entropy, since the sigmoid's
    # slope p(1 − p) cancels; 2 (p − y) p (1 − p) for the squared error.
    delta = p - y
    delta[1] *= 2 * p[1] * (1 - p[1])
    back = delta * weight2 * a * (1 - a)
    weight1 -= RATE * x * back
    bias1 -= RATE * back
    weight2 -= RATE * delta * a
    bias2 -= RATE * delta
    return p[..., 0]


def cost_of_epoch(outputs):
    """The sum over the 40 examples, as the loop over them adds it up: losses × starts."""
    y = Y.numpy()
    bce = -(y * np.log(outputs[:, 0]) + (1 - y) * np.log(1 - outputs[:, 0]))
    return np.stack([bce.sum(0), ((outputs[:, 1] - y) ** 2).sum(0)])


@pytest.fixture(scope="module")
def training():
    """Start 0 has identical weights, start 1 + s is the default start of seed s."""
    return train(np.stack([as_row(identical()), *(as_row(default(seed)) for seed in SEEDS)]))


# The experiment


def test_the_default_start_is_the_known_one():
    net = default(0)
    assert net.linear1.weight.flatten().tolist() == pytest.approx([-0.0075, 0.5364], abs=5e-5)
    assert net.linear1.bias.tolist() == pytest.approx([-0.8230, -0.7359], abs=5e-5)
    assert net.linear2.weight.flatten().tolist() == pytest.approx([-0.2723, 0.1896], abs=5e-5)
    assert net.linear2.bias.item() == pytest.approx(-0.0140, abs=5e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_formulas_are_what_autograd_computes(loss):
    """Two epochs of the batched program against the plain PyTorch loop."""
    criterion = {"BCE": cross_entropy, "MSE": squared_error}[loss]
    nets = [identical(), default(0), default(1)]
    batched = train(np.stack([as_row(net) for net in nets]), epochs=2)
    for which, net in enumerate(nets):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        cost = []
        for _ in range(2):
            total = 0.0
            for x, y in zip(X, Y, strict=True):
                value = criterion(net(x), y)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                total += value.item()
            cost.append(total)
        row = LOSSES.index(loss)
        assert batched.costs[:, row, which].tolist() == pytest.approx(cost, rel=1e-4)
        assert batched.rows[1][row, which].tolist() == pytest.approx(as_row(net).tolist(), abs=1e-4)


def test_identical_weights_end_where_they_are_known_to_end(initcheck, training):
    """The printed numbers: both hidden units come out the same, and the box is not learned."""
    final, cost = training.rows[EPOCHS - 1][0, 0], training.costs[:, 0, 0]
    outputs = output(final, np.array([[-2.0], [0.0], [2.0]]))
    initcheck.compare(
        "identical weights, BCE",
        RunRecord(
            curves={"cost": (tuple(cost.tolist()),)},
            scatters=(units_by_epoch(training, 0, 0, "identical weights"),),
            metrics={
                "parameters": tuple(final.tolist()),
                "outputs at -2, 0, 2": tuple(outputs.tolist()),
            },
        ),
    )
    assert final[0:2].tolist() == pytest.approx([1.9340] * 2, abs=1e-4)
    assert final[2:4].tolist() == pytest.approx([-9.0725] * 2, abs=1e-4)
    assert final[4:6].tolist() == pytest.approx([-3.3976] * 2, abs=1e-4)
    assert final[6].item() == pytest.approx(-0.6546, abs=1e-4)
    assert outputs.tolist() == pytest.approx([0.3420, 0.3418, 0.3337], abs=1e-4)
    assert cost[0].item() == pytest.approx(27.5257, abs=1e-3)
    assert cost[-1].item() == pytest.approx(15.0211, abs=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_identical_units_stay_identical_for_ever(training, loss):
    for rows in training.rows.values():
        row = rows[LOSSES.index(loss), 0]
        assert row[[0, 2, 4]].tolist() == pytest.approx(row[[1, 3, 5]].tolist(), abs=1e-4)


@pytest.mark.parametrize("criterion", [cross_entropy, squared_error], ids=LOSSES)
def test_the_symmetry_is_reported_with_both_units_named(initcheck, criterion):
    diagnosis = initcheck.diagnose(identical(), (X, Y), loss_fn=criterion, expect="IC201")
    assert diagnosis.verdict == "fail"
    (finding,) = [finding for finding in diagnosis.findings if finding.check == "symmetry"]
    assert finding.layer == "linear1"
    assert finding.units == (0, 1)
    with pytest.raises(InitcheckFailure, match="linear1"):
        initcheck.assert_symmetry_broken(identical(), (X, Y), loss_fn=criterion)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_start_breaks_the_symmetry(initcheck, seed):
    initcheck.assert_symmetry_broken(default(seed), (X, Y), loss_fn=cross_entropy)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_default_start_learns_the_box(initcheck, training, loss):
    """The cost must fall below a tenth of what identical weights are stuck at."""
    which = LOSSES.index(loss)
    costs, final = training.costs[:, which], training.rows[EPOCHS - 1][which, 1:]
    stuck, ends = costs[-1, 0].item(), costs[-1, 1:]
    initcheck.compare(
        f"default start, {loss}",
        RunRecord(
            seeds=SEEDS,
            curves={"cost": tuple(tuple(curve.tolist()) for curve in costs[:, 1:].T)},
            metrics={"final cost": tuple(ends.tolist())},
            scatters=(units_by_epoch(training, which, 1, "default start, seed 0"),),
        ),
    )
    learned = int((ends < stuck / 10).sum())
    assert share_at_least(learned, len(SEEDS), probability=0.9)
    apart = np.abs(final[:, [0, 2, 4]] - final[:, [1, 3, 5]]).max(1)
    assert share_at_least(int((apart > 0.1).sum()), len(SEEDS), probability=0.9)


# The pictures


@pytest.mark.parametrize("loss", LOSSES)
def test_pictures(initcheck, training, loss):
    which = LOSSES.index(loss)
    for start, title in ((0, "identical weights"), (1, "default start, seed 0")):
        initcheck.picture(f"{title}, {loss}: fit", fit_picture(training, which, start))
        initcheck.picture(f"{title}, {loss}: units", units_picture(training, which, start))
    initcheck.picture(f"cost per epoch, {loss}", cost_picture(training.costs[:, which], loss))


def fit_picture(training, loss, start):
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    for epoch, rows in training.rows.items():
        axes.plot(X, output(rows[loss, start], X.numpy()), label=f"epoch {epoch}")
    axes.plot(X, Y, "r", label="target")
    axes.set(xlabel="x", ylabel="output")
    axes.legend(fontsize="small")
    return figure


def units_picture(training, loss, start):
    """One hidden activation against the other: a diagonal when they are the same."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    for epoch, rows in training.rows.items():
        first, second = hidden(rows[loss, start], X.numpy()).T
        axes.scatter(first, second, s=12, label=f"epoch {epoch}")
    axes.set(xlabel="hidden unit 0", ylabel="hidden unit 1", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    axes.legend(fontsize="small")
    return figure


def units_by_epoch(training, loss, start, title):
    """The same as data, which the report steps through."""
    moments = []
    for epoch, rows in training.rows.items():
        first, second = hidden(rows[loss, start], X.numpy()).T.tolist()
        moments.append(Points(moment=f"epoch {epoch}", x=tuple(first), y=tuple(second)))
    return Scatter(title=title, x="hidden unit 0", y="hidden unit 1", moments=tuple(moments))


def cost_picture(costs, loss):
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(costs[:, 1:], color="tab:blue", linewidth=0.7)
    axes.plot([], color="tab:blue", label=f"default start, {len(SEEDS)} seeds")
    axes.plot(costs[:, 0], color="tab:red", label="identical weights")
    axes.set(xlabel="epoch", ylabel=f"{loss}, sum over the 40 examples", yscale="log")
    axes.legend()
    return figure
