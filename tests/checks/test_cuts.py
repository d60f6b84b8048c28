"""Edges of the forward graph over which no gradient comes back."""

from __future__ import annotations

import pytest
import torch
from corpus.contract.builders import groups
from corpus.nets import adam, sgd
from support.starts import named, told
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pytest_initcheck import diagnose

FEATURES, CLASSES = 20, 10


class Net(nn.Module):
    """Two branches of which ``side`` may be cut off, and a head."""

    def __init__(self, run):
        super().__init__()
        self.main, self.side = nn.Linear(FEATURES, 32), nn.Linear(FEATURES, 32)
        self.head, self.last = nn.Linear(32, CLASSES), nn.Linear(32, CLASSES)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def judged(run, optimizer=None, **options):
    torch.manual_seed(0)
    return diagnose(Net(run), groups(), optimizer=optimizer or adam(1e-3), **options)


def before_a_layer(m, x):
    return m.head(torch.relu(m.main(x) + m.side(x).detach()))


def of_everything(m, x):
    return m.head(torch.relu(m.main(x).detach())) + 0 * m.last(m.side(x))


def at_the_end(m, x):
    return m.head(torch.relu(m.main(x))) + m.last(m.side(x)).detach()


def by_data(m, x):
    return m.head(torch.relu(m.main(x).data))


def by_numpy(m, x):
    return m.head(torch.relu(torch.from_numpy(m.main(x).detach().numpy())))


def spiking(m, x):
    """Comparisons in every step of time, which together take all that comes of the data."""
    value, out = 0.0, 0.0
    for _ in range(4):
        value = 0.7 * value + m.main(x)
        spikes = (value > 0.5).float()
        value = value * (1 - spikes.detach())
        out = out + m.head(spikes)
    return out


def chosen(m, x):
    return m.head(functional.one_hot(m.main(x).argmax(1), 32).float())


def compared(m, x):
    return m.head((m.main(x) > 0).float())


def without_gradients(m, x):
    with torch.no_grad():
        there = torch.relu(m.main(x))
    return m.head(there)


CUT = {
    "detach before a layer": (before_a_layer, "error", "side", "without its gradient"),
    "detach of everything": (of_everything, "error", "main", "without its gradient"),
    "detach at the end": (at_the_end, "warning", "side", "without its gradient"),
    "data": (by_data, "error", "main", "without its gradient"),
    "numpy": (by_numpy, "error", "main", ""),
    "argmax": (chosen, "error", "main", "the indices or the comparison"),
    "spikes": (spiking, "error", "main", "the indices or the comparison"),
    "comparison": (compared, "error", "main", "the indices or the comparison"),
    "no_grad": (without_gradients, "warning", "main", "gradients switched off"),
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_is_told_with_the_layer_behind_it_and_what_happens_there(name):
    run, severity, layer, told_as = CUT[name]
    found = named(judged(run), "IC401")
    assert (found.severity, found.layer) == (severity, layer)
    assert told_as in found.cause


def test_the_edge_is_named_by_its_two_ends():
    cause = named(judged(before_a_layer), "IC401").cause
    assert "what addmm in side makes goes on into add in the model itself" in cause


def with_a_stopped_target(m, x):
    there = m.main(x)
    return m.head(torch.relu(there)) + 0.01 * (there.detach() - m.side(x)).sum()


def with_straight_through(m, x):
    soft = torch.softmax(m.main(x) + m.side(x), -1)
    hard = functional.one_hot(soft.argmax(-1), 32).float()
    return m.head(hard - soft.detach() + soft)


def with_a_recomputed_part(m, x):
    both = checkpoint(lambda v: m.main(v) + m.side(v), x, use_reentrant=False)
    return m.head(torch.relu(both))


class Doubled(torch.autograd.Function):
    """A function of the author's, inside of which autograd sees nothing."""

    @staticmethod
    def forward(ctx, x):
        return x * 2 + 0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


def with_an_own_function(m, x):
    return m.head(torch.relu(Doubled.apply(m.main(x)) + m.side(x)))


def with_a_router(m, x):
    """The side chooses a class of which nothing but the index is used beside the main way."""
    place = m.side(x).argmax(1)
    return m.head(torch.relu(m.main(x)).roll(1, 1) + functional.one_hot(place, 32) * 0.1)


def with_a_detached_scale(m, x):
    there = m.main(x) + m.side(x)
    return m.head(there / there.detach().abs().amax(1, keepdim=True))


SOUND = [
    with_a_stopped_target,
    with_straight_through,
    with_a_recomputed_part,
    with_an_own_function,
    with_a_router,
    with_a_detached_scale,
]


@pytest.mark.parametrize("run", SOUND, ids=lambda run: run.__name__)
def test_what_is_stopped_on_purpose_beside_a_gradient_is_no_cut(run):
    assert "IC401" not in told(judged(run))


class Two(nn.Module):
    """Two heads on one trunk."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU())
        self.kind, self.size = nn.Linear(32, CLASSES), nn.Linear(32, 1)

    def forward(self, x):
        there = self.trunk(x)
        return self.kind(there), self.size(there)


def both_losses(out, targets, number):
    kinds, sizes = targets
    loss = functional.mse_loss(out[1].squeeze(1), sizes)
    return functional.cross_entropy(out[0], kinds) + (loss.item() if number else loss)


def two_targets():
    x, y = groups()
    return x, (y, x[:, 0] * 2)


@pytest.mark.parametrize("number", [True, False])
def test_a_loss_that_is_added_as_a_number_trains_nothing(number):
    torch.manual_seed(0)
    found = diagnose(
        Two(), two_targets(), loss_fn=lambda o, y: both_losses(o, y, number), optimizer=adam(1e-3)
    )
    if number:
        cut = named(found, "IC401")
        assert (cut.severity, cut.layer) == ("error", "size")
        assert "numbers" in cut.cause
        assert "IC604" not in told(found)
    else:
        assert "IC401" not in told(found)


@pytest.mark.parametrize(("optimizer", "severity"), [(adam(1e-3), "warning"), (None, None)])
def test_behind_forward_a_number_is_told_where_the_optimiser_was_chosen(optimizer, severity):
    torch.manual_seed(0)

    def forward(model, batch):
        return both_losses(model(batch[0]), batch[1], True)

    found = diagnose(Two(), two_targets(), forward=forward, optimizer=optimizer)
    assert [f.severity for f in found.findings if f.id == "IC401"] == (
        [severity] if severity else []
    )


def test_a_head_whose_loss_is_logged_alone_moves_nothing():
    torch.manual_seed(0)
    log = []

    def loss_fn(out, targets):
        log.append(functional.mse_loss(out[1].squeeze(1), targets[1]).item())
        return functional.cross_entropy(out[0], targets[0])

    assert "IC401" not in told(
        diagnose(Two(), two_targets(), loss_fn=loss_fn, optimizer=adam(1e-3))
    )


class Steps(nn.Module):
    """A recurrence over the columns of a sequence; ``cut`` acts on the state after each step."""

    def __init__(self, cut, *, reads_all=False, is_judged_throughout=False):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 16), nn.Linear(16, 3)
        self.cut, self.reads_all = cut, reads_all
        self.is_judged_throughout = is_judged_throughout

    def forward(self, x):
        state, outputs = x.new_zeros(len(x), 16), []
        for step in range(x.shape[1]):
            seen = x.mean(1) if self.reads_all else x[:, step]
            state = self.cell(seen, self.cut(state, step))
            outputs.append(self.head(state))
        return torch.stack(outputs).mean(0) if self.is_judged_throughout else outputs[-1]


def sequences():
    x = torch.randn(32, 6, 4)
    return x, x[:, 0].argmax(1) % 3


def test_a_recurrence_that_detaches_its_state_learns_from_its_last_step_alone():
    torch.manual_seed(0)
    found = named(diagnose(Steps(lambda h, t: h.detach()), sequences()), "IC401")
    assert found.severity == "warning"
    assert (found.measured, found.limit) == (pytest.approx(1 / 6), 1)


def test_a_recurrence_that_detaches_its_state_once_loses_what_came_before():
    torch.manual_seed(0)
    late = Steps(lambda h, t: h.detach() if t == 4 else h)
    assert named(diagnose(late, sequences()), "IC401").measured == pytest.approx(2 / 6)


class Warmed(nn.Module):
    """The state is warmed up on the first steps, and trained on the others."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(4, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x):
        _, state = self.cell(x[:, :2])
        return self.head(self.cell(x[:, 2:], state.detach())[0].mean(1))


NO_LOSS = {
    "a state that is warmed up": Warmed(),
    "no detach": Steps(lambda h, t: h),
    "every step is judged": Steps(lambda h, t: h.detach(), is_judged_throughout=True),
    "the same data in each round": Steps(lambda h, t: h.detach(), reads_all=True),
    "a first state": Steps(lambda h, t: h.detach() if t == 0 else h),
    "half of the steps": Steps(lambda h, t: h.detach() if t == 3 else h),
}


@pytest.mark.parametrize("name", NO_LOSS)
def test_a_detach_that_loses_no_data_is_none(name):
    torch.manual_seed(0)
    assert "IC401" not in told(diagnose(NO_LOSS[name], sequences()))


def test_an_encoder_of_a_detached_view_is_not_missed():
    """The target network of a self-supervised step is read by the loss, and by no layer."""

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.guess = nn.Linear(FEATURES, 16), nn.Linear(16, 16)

        def forward(self, x):
            near, far = self.body(x), self.body(x + 0.1 * x.roll(1, 0))
            return -functional.cosine_similarity(self.guess(near), far.detach(), -1).mean()

    torch.manual_seed(0)
    found = diagnose(
        Twin(), torch.randn(16, FEATURES), forward=lambda m, b: m(b), optimizer=sgd(0.1)
    )
    assert "IC401" not in told(found)


class Made(nn.Module):
    """A layer whose weight is made of two factors, and changed on its way to its use."""

    def __init__(self, change, rank=8):
        super().__init__()
        self.u = nn.Parameter(torch.randn(32, rank) / rank**0.5)
        self.v = nn.Parameter(torch.randn(rank, FEATURES) / FEATURES**0.5)
        self.bias = nn.Parameter(torch.zeros(32))
        self.change = change

    def forward(self, x):
        return functional.linear(x, self.change(self.u @ self.v), self.bias)


def without_gradient(w):
    with torch.no_grad():
        return w * 1.0


def through(w):
    """A weight that is rounded for its use, and trained as if it was not."""
    return w + (torch.round(w * 8) / 8 - w).detach()


@pytest.mark.parametrize(("change", "is_cut"), [
    (Tensor.detach, True), (without_gradient, True), (lambda w: torch.tensor(w.tolist()), False),
    (lambda w: w, False), (through, False), (lambda w: w / w.norm().detach(), False),
])  # fmt: skip
def test_weights_that_are_made_of_parameters_outside_of_the_graph_are_told(change, is_cut):
    torch.manual_seed(0)
    made = Made(change)
    found = diagnose(nn.Sequential(made, nn.ReLU(), nn.Linear(32, CLASSES)), groups(),
                     optimizer=adam(1e-3))  # fmt: skip
    assert ("IC401" in told(found)) == is_cut, str(found)
    if is_cut:
        finding = named(found, "IC401")
        assert (finding.layer, finding.severity) == ("0", "error")
        assert "'0.u', '0.v'" in finding.cause


def test_weights_that_are_read_without_their_gradient_beside_a_bias_that_has_one_are_told():
    def by_data(m, x):
        return m.head(torch.relu(functional.linear(x, m.main.weight.data, m.main.bias)))

    finding = named(judged(by_data), "IC401")
    assert (finding.layer, finding.severity) == ("main", "error")
    assert "'main.weight'" in finding.cause


def test_weights_that_are_cut_off_in_one_of_two_uses_are_trained_by_the_other():
    def tied(m, x):
        h = torch.relu(m.main(x))
        return m.head(h) + functional.linear(h, m.head.weight.detach())

    assert "IC401" not in told(judged(tied))


def test_weights_that_the_optimiser_does_not_hold_are_not_asked_for():
    torch.manual_seed(0)
    model = nn.Sequential(Made(Tensor.detach), nn.ReLU(), nn.Linear(32, CLASSES))
    found = diagnose(model, groups(),
                     optimizer=lambda p: torch.optim.Adam(list(p)[2:], 1e-3))  # fmt: skip
    assert "IC401" not in told(found), str(found)
