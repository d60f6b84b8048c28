"""Programs that came out wrong once, and public reports, as they were written down (the rows of
sections 6 and 7 of the team's list of cases)."""

from __future__ import annotations

import math
import re

import pytest
import torch
from corpus.architectures import Variational
from corpus.contract.reports import drawings, evidence, gated, margin_head, picture, rooted, siren
from corpus.contract.small import Shift, flow, likelihood, skewed
from corpus.nets import adam, cnn, each, he, pictures, sgd
from corpus.unusual.builders import Model
from support.starts import ids, named, told
from torch import nn
from torch.nn import functional as F

from pytest_initcheck import diagnose

fast = adam(1e-3)


def batch(kinds=10):
    torch.manual_seed(0)
    x, y = torch.randn(128, 20), torch.arange(128) % kinds
    return x + 2 * torch.randn(kinds, 20)[y], y


def net(last=None, outputs=10):
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, outputs))
    return Model(lambda m, x: last(m.body(x)), body=body) if last else body


def test_raw_scores_in_nll():
    found = diagnose(net(), batch(), F.nll_loss, lambda p: torch.optim.SGD(p, 0.1))
    assert (found.verdict, ids(found)[0]) == ("fail", "IC803"), str(found)
    assert "logarithms of probabilities" in found.findings[0].cause
    assert found.losses[-1] < 0


def test_a_penalty_beside_the_scores():
    def run(m, x):
        return m.body(x), 0.1 * sum(p.square().sum() for p in m.parameters())

    def loss(o, t):
        return F.cross_entropy(o[0], t) + o[1]

    found = diagnose(Model(run, body=net()), batch(), loss, fast)
    assert found.verdict == "pass", str(found)
    assert found.losses[0] > 4.5


def labels(x, y):
    return (torch.arange(10) <= y[:, None]).float()


@pytest.mark.parametrize(("last", "targets", "loss"), [
    (lambda s: s.sigmoid().clamp(1e-4, 1 - 1e-4), labels, F.binary_cross_entropy),
    (lambda s: s.softmax(1).clamp(min=1e-7), lambda x, y: y, lambda p, y: F.nll_loss(p.log(), y)),
    (lambda s: s.tanh().clamp(-0.999, 0.999), lambda x, y: x[:, :10].tanh(), F.mse_loss),
])  # fmt: skip
def test_a_clamp_behind_what_is_bounded(last, targets, loss):
    x, y = batch()
    found = diagnose(net(last), (x, targets(x, y)), loss, fast)
    assert found.verdict == "pass", str(found)


@pytest.mark.parametrize("kept", [4, 5])
@pytest.mark.parametrize("scaled", [True, False])
def test_scales_and_shifts_that_the_first_batch_sets(scaled, kept):
    torch.manual_seed(0)
    found = diagnose(flow(scaled=scaled, kept=kept)(), skewed(), likelihood, fast)
    assert found.verdict == "pass", str(found)


def test_the_shift_of_the_first_batch_is_set_anew_by_each_diagnosis():
    torch.manual_seed(0)
    model = flow(scaled=True)()
    diagnose(model, skewed(), likelihood, fast)
    assert not any(bool(m.ready) for m in model.modules() if isinstance(m, Shift))


@pytest.mark.parametrize("form", ["loss_fn", "forward"])
def test_targets_of_300_to_1000_both_ways(form):
    torch.manual_seed(0)
    x = torch.linspace(0, 1, 64)[:, None]
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    way = {"loss_fn": F.mse_loss, "forward": lambda m, b: F.mse_loss(m(b[0]), b[1])}
    found = diagnose(model, (x, 300 + 700 * x), optimizer=fast, **{form: way[form]})
    assert (found.verdict, ids(found)[0]) == ("fail", "IC702"), str(found)
    assert found.findings[0].measured == pytest.approx(
        float((300 + 700 * x).square().mean().sqrt()), rel=1e-3
    )


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(20, 64), nn.Linear(64, 64)]
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


def test_layers_in_a_plain_list_are_named():
    torch.manual_seed(0)
    found = diagnose(Listed(), batch(), optimizer=fast)
    left = named(found, "IC602")
    assert left.layers == ("layers[0]", "layers[1]")
    assert "held in a plain list" in left.cause
    assert "optimiser" in left.cause
    assert "nn.ModuleList" in left.remedy
    assert "learning rate" not in left.quantity
    assert left is found.findings[0]


def cosines(scale, *, learnt):
    def run(m, x):
        t = m.t.exp() if learnt else scale
        return t * F.normalize(m.body(x)) @ F.normalize(m.w).T

    torch.manual_seed(1)
    more = {"t": nn.Parameter(torch.tensor(math.log(scale)))} if learnt else {}
    body = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32))
    return Model(run, body=body, w=nn.Parameter(torch.randn(32, 32)), **more)


@pytest.mark.parametrize(("scale", "learnt"), [
    (30.0, True), (20.0, False), (30.0, False), (64.0, False),
])  # fmt: skip
def test_cosines_times_a_temperature(scale, learnt):
    found = diagnose(cosines(scale, learnt=learnt), batch(32), optimizer=fast, steps=2)
    assert found.verdict == "pass", str(found)


def test_zero_rows_divided_by_their_norm():
    def run(m, x):
        p = m.map(x)
        p = p / p.norm(dim=1, keepdim=True)
        d = m.dir(x)
        return torch.where(p * d >= 0, p, 0.2 * p)

    x, y = batch()
    x[:6] = 0
    torch.manual_seed(1)
    model = Model(run, map=nn.Linear(20, 10, bias=False), dir=nn.Linear(20, 10))
    found = diagnose(model, (x, y), optimizer=fast)
    first = found.findings[0]
    assert (first.id, first.layer) == ("IC502", "map"), str(found)
    assert "division by zero" in first.cause
    assert "scale" not in first.remedy
    assert_no_false_words(found)


def assert_no_false_words(found):
    """What is NaN already is not said to be finite."""
    text = str(found) + "".join(line for f in found.findings for line in f.consequences)
    if not math.isfinite(found.losses[0]):
        assert "the loss is finite" not in text
    if "IC502" in told(found):
        assert "every layer's output is finite" not in text


def test_a_softmax_row_of_which_every_key_is_masked():
    def run(m, x, mask):
        scores = m.q(x) @ m.k(x).mT / 20**0.5
        return m.head((scores.masked_fill(mask[:, None], -math.inf).softmax(-1) @ m.v(x)).mean(1))

    torch.manual_seed(0)
    parts = {name: nn.Linear(20, 20) for name in "qkv"}
    model = Model(run, head=nn.Linear(20, 3), **parts)
    x, lengths = torch.randn(16, 12, 20), torch.randint(4, 13, (16, 1))
    y = torch.randint(3, (16,))
    sound = diagnose(model, ((x, torch.arange(12) >= lengths), y), optimizer=fast)
    assert sound.verdict == "pass", str(sound)
    lengths[0] = 0
    found = diagnose(model, ((x, torch.arange(12) >= lengths), y), optimizer=fast)
    first = found.findings[0]
    assert first.id == "IC502", str(found)
    assert "every position of a row is masked" in first.cause
    assert "scale" not in first.remedy
    assert_no_false_words(found)


@pytest.mark.parametrize(("scale", "optimizer"), [
    (3000, fast), (3000, adam(1e-2)), (2000, sgd(1e-7)),
])  # fmt: skip
def test_raw_observations_under_an_actor_and_critic(scale, optimizer):
    def loss(m, b):
        h = m.body(b["x"])
        log = m.policy(h).log_softmax(1).gather(1, b["a"][:, None])[:, 0]
        gap = b["g"] - m.value(h)[:, 0]
        return -(log * gap.detach()).mean() + 0.5 * gap.square().mean()

    x, _ = batch()
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    model = Model(None, body=body, policy=nn.Linear(64, 10), value=nn.Linear(64, 1))
    data = {"x": scale * x, "a": torch.randint(10, (128,)), "g": torch.randn(128)}
    found = diagnose(model, data, forward=loss, optimizer=optimizer)
    assert (found.verdict, ids(found)[0]) == ("fail", "IC701"), str(found)
    assert "IC603" not in ids(found)


def test_a_squashed_output_for_8_plus_minus_5():
    x, _ = batch()
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 1), nn.Tanh())
    found = diagnose(model, (x, 8 + 5 * torch.randn(128, 1)), optimizer=fast)
    assert (found.verdict, ids(found)[0]) == ("fail", "IC802"), str(found)


def quantised(step, *, bias):
    def near(w):
        return w + ((w / step).round() * step - w).detach()

    def run(m, x):
        h = torch.relu(F.linear(x, near(m.a.weight), m.a.bias))
        return F.linear(h, near(m.b.weight), m.b.bias)

    torch.manual_seed(1)
    return Model(run, a=nn.Linear(20, 64, bias=bias), b=nn.Linear(64, 10))


@pytest.mark.parametrize("bias", [False, True])
def test_weights_that_all_round_to_zero(bias):
    found = diagnose(quantised(1.0, bias=bias), batch(), optimizer=fast)
    assert found.verdict == "fail"
    assert "kaiming" not in found.findings[0].remedy, str(found)


@pytest.mark.parametrize("bias", [False, True])
def test_weights_that_are_rounded_finely(bias):
    found = diagnose(quantised(1 / 16, bias=bias), batch(), optimizer=fast)
    assert found.verdict == "pass", str(found)


# Section 6: public reports, each beside its repaired twin.
def bce(o, y):
    return F.binary_cross_entropy_with_logits(o, y.float()[:, None])


REPORTS = {
    "softmax before cross-entropy": (
        lambda: diagnose(net(lambda s: s.softmax(1)), batch(), optimizer=fast), "IC801",
        lambda: diagnose(net(), batch(), optimizer=fast)),
    "softmax before cross-entropy, and its logarithm": (
        lambda: diagnose(net(lambda s: s.softmax(1)), batch(), F.cross_entropy, fast), "IC801",
        lambda: diagnose(net(lambda s: s.log_softmax(1)), batch(), F.cross_entropy, fast)),
    "sigmoid before BCE with logits": (
        lambda: diagnose(net(torch.sigmoid, 1), batch(2), bce, fast), "IC801",
        lambda: diagnose(net(None, 1), batch(2), bce, fast)),
    "margin head of zeros": (
        lambda: diagnose(margin_head(drawn=False)(), batch(), optimizer=fast), "IC50",
        lambda: diagnose(margin_head(drawn=True)(), batch(), optimizer=fast)),
    "sines of coordinates to 255": (
        lambda: diagnose(siren(), picture(0, 255)(), optimizer=adam(1e-4)), "IC701",
        lambda: diagnose(siren(), picture(-1, 1)(), optimizer=adam(1e-4))),
    "variational on pixels to 255": (
        lambda: diagnose(Variational(784, 64, 8, last=nn.Identity()), drawings(255.0)(), evidence,
                         fast), "IC701",
        lambda: diagnose(Variational(784, 64, 8), drawings(1.0)(), evidence, fast)),
    "gate of two zero layers": (
        lambda: diagnose(gated(0, 2)(), batch(), optimizer=fast), ("IC101", "IC301"),
        lambda: diagnose(gated(2)(), batch(), optimizer=fast)),
    "head not in the optimiser": (
        lambda: (lambda m: diagnose(m, batch(), None, lambda _: torch.optim.Adam(
            m[0].parameters(), 1e-3)))(net()), "IC602",
        lambda: diagnose(net(), batch(), optimizer=fast)),
    "root of exact zeros": (
        lambda: diagnose(rooted(0.0)(), zeroed(), optimizer=fast), "IC504",
        lambda: diagnose(rooted(1e-4)(), zeroed(), optimizer=fast)),
}  # fmt: skip


def zeroed():
    x, y = batch()
    x[:6] = 0
    return x, y


@pytest.mark.parametrize("name", REPORTS)
def test_a_public_report_and_its_repair(name):
    faulty, cause, repaired = REPORTS[name]
    torch.manual_seed(0)
    found = faulty()
    assert found.verdict in ("warn", "fail")
    assert found.findings[0].id.startswith(cause), str(found)
    assert_no_false_words(found)
    torch.manual_seed(0)
    sound = repaired()
    assert sound.verdict == "pass", str(sound)


@pytest.mark.slow
def test_he_convolutions_at_a_rate_of_a_tenth():
    torch.manual_seed(0)
    model = each(cnn(channels=(16, 32), dense=512), he)
    found = diagnose(model, pictures(32), optimizer=sgd(0.1))
    assert found.verdict == "pass", str(found)
    assert max(found.losses) > found.losses[0] > found.losses[-1]


def test_what_a_finding_says_beside_its_number_is_its_number():
    found = diagnose(net(lambda s: s.softmax(1)), batch(), optimizer=fast)
    said = r"within reach ([\d.]+), best constant ([\d.]+)\) ([\d.]+), allowed"
    within, best, lost = map(float, re.search(said, str(found.findings[0])).groups())
    assert within == pytest.approx(math.log(1 + 9 / math.e), abs=2e-3)
    assert best == pytest.approx(math.log(10), abs=2e-3)
    assert lost == pytest.approx(within / best, abs=2e-3)


def test_values_that_overflow_before_a_rectifier_are_counted_behind_it():
    torch.manual_seed(0)
    model = Model(
        lambda m, x: m.head(torch.relu(m.body(x) * 1e38 * 10)),
        body=nn.Linear(20, 16), head=nn.Linear(16, 10),
    )  # fmt: skip
    first = diagnose(model, batch(), optimizer=fast, steps=1).findings[0]
    assert (first.id, first.layers) == ("IC502", ("body", "head"))
    assert first.quantity == "non-finite values of 'body'"
    assert 0 < first.measured < 16 * len(batch()[0])


@pytest.mark.parametrize(("between", "said", "unsaid"), [
    (lambda h: (1e30 * h @ (1e30 * h).T).softmax(1) @ h, "", "masked"),
    (lambda h: (100 * h).exp() / (100 * h).exp().sum(1, keepdim=True), "overflows", "division"),
    (lambda h: h / (h - h), "a division by zero", "overflows"),
    (lambda h: (h - 100).sqrt(), "a root", "division"),
    (lambda h: h.log(), "logarithm", "division"),
])  # fmt: skip
def test_where_the_first_value_that_is_not_finite_is_born(between, said, unsaid):
    torch.manual_seed(1)
    model = Model(
        lambda m, x: m.head(between(m.body(x))), body=nn.Linear(20, 64), head=nn.Linear(64, 10)
    )
    found = diagnose(model, batch(), optimizer=fast, steps=1)
    first = found.findings[0]
    assert (first.id, first.layer) == ("IC502", "body"), str(found)
    assert said in first.cause
    assert unsaid not in first.cause
    assert_no_false_words(found)
