"""What the model hands to its loss: squashed twice, out of reach, bottomless, hidden, cut off."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from corpus.contract.builders import (
    coder,
    cosine,
    groups,
    halves,
    log_softmax,
    mapped,
    net,
    numbers,
    several,
    sketches,
    softmax,
    squared,
)  # fmt: skip
from corpus.nets import sgd
from corpus.unusual.builders import Model
from corpus.unusual.wrappers import Answer
from support.objective import is_true, judged, through
from support.starts import named, told
from torch import nn
from torch.nn import functional

bce, mse = functional.binary_cross_entropy_with_logits, functional.mse_loss
cross_entropy, nll = functional.cross_entropy, functional.nll_loss
LN2 = math.log(2)


def answered(last):
    """A model with a loss of its own."""

    def run(m, x, labels):
        out = last(m.body(x))
        return Answer(loss=cross_entropy(out, labels), logits=out)

    return lambda: Model(run, body=net()())


def as_mapping():
    return dict(zip(("x", "labels"), groups(), strict=True))


def tens():
    return groups(10, 120)


# Of ten classes on probabilities: log(1 + 9/e) of log 10; of two: log(1 + 1/e) and so on.
TWICE = {
    "softmax": ((net(softmax), tens, cross_entropy), "error", math.log(1 + 9 / math.e, 10)),
    "softmax of two": (
        (net(softmax, 2), lambda: groups(2), cross_entropy), "error",
        math.log(1 + 1 / math.e) / LN2),
    "sigmoid": (
        (net(nn.Sigmoid, 1), halves, bce), "error", (LN2 + math.log(1 + 1 / math.e)) / 2 / LN2),
    "tanh": (
        (net(nn.Tanh), tens, cross_entropy), "error", math.log(1 + 9 * math.exp(-2), 10)),
    "in the loss": (
        (net(), tens, lambda o, y: cross_entropy(o.softmax(1), y)), "error",
        math.log(1 + 9 / math.e, 10)),
    "in a step": (
        (net(softmax), tens, None, {"forward": through(cross_entropy)}), "error",
        math.log(1 + 9 / math.e, 10)),
    "in a loss of the model's own": (
        (answered(softmax), as_mapping, None), "error", math.log(1 + 9 / math.e, 10)),
    "scores of at most 1.5": (
        (net(lambda s: 1.5 * torch.tanh(s)), tens, cross_entropy), "warning",
        math.log(1 + 9 * math.exp(-3), 10)),
}  # fmt: skip


def start(entry):
    make, data, loss, *options = entry
    return judged(make, data, loss, **{"steps": 2, **(options[0] if options else {})})


@pytest.mark.parametrize("name", TWICE)
def test_outputs_that_are_squashed_twice(name):
    entry, severity, lost = TWICE[name]
    found = start(entry)
    first = found.findings[0]
    assert (first.id, first.severity) == ("IC801", severity), str(found)
    assert first.measured == pytest.approx(lost, abs=0.02)
    assert is_true(first)
    within, best = map(float, re.findall(r"(?:within reach|constant) ([\d.]+)", first.quantity))
    assert best > within > lost * best - 0.05
    assert re.search(r"a (softmax|sigmoid|tanh) before the loss", first.cause)


ONCE = {
    "scores": (net(), groups, cross_entropy),
    "log-softmax before cross-entropy": (net(log_softmax), groups, cross_entropy),
    "log-softmax before NLL": (net(log_softmax), groups, nll),
    "the logarithm of a softmax": (net(softmax), groups, lambda p, y: nll(p.log(), y)),
    "scores in BCE": (net(None, 1), halves, bce),
    "sigmoid in BCE": (net(nn.Sigmoid, 1), halves, nn.BCELoss()),
    "scores of at most 6": (net(lambda s: functional.hardtanh(s, -6, 6)), groups, cross_entropy),
    "cosines times 30": (cosine(30.0), groups, cross_entropy),
    "cosines times a learnt 30": (cosine(30.0, learnt=True), groups, cross_entropy),
    "gates in the model": (
        lambda: Model(lambda m, x: m.body(x * m.gate(x).sigmoid()), body=net()(),
                      gate=nn.Linear(20, 20)), groups, cross_entropy),
    "tanh before a linear layer": (
        lambda: nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 10)), groups,
        cross_entropy),
    "softmax before a squared error": (
        net(softmax), mapped(groups, lambda y: functional.one_hot(y, 10).float()), mse),
    "a loss of the model's own": (answered(lambda s: s), as_mapping, None),
}  # fmt: skip


@pytest.mark.parametrize("name", ONCE)
def test_outputs_that_are_squashed_once(name):
    found = start(ONCE[name])
    assert found.verdict == "pass", str(found)


AGES = mapped(numbers(), lambda y: 20 + 60 * torch.sigmoid(2 * y))
SHORT = {
    "tanh for 8 ± 5": (net(nn.Tanh, 1), numbers(5.0, 8.0), mse),
    "tanh for ±2": (net(nn.Tanh, 1), mapped(numbers(), lambda y: 2 * y.sign()), mse),
    "sigmoid for ages": (net(nn.Sigmoid, 1), AGES, mse),
    "sigmoid for -1 to 1": (coder(torch.sigmoid), sketches(-1.0), mse),
    "softplus for negative targets": (net(nn.Softplus, 1), numbers(1.0, -3.0), mse),
    "unit codes for codes of norm 8": (net(functional.normalize, 16), numbers(2.0, 0.0, 16), mse),
    "in a step": (net(nn.Tanh, 1), numbers(5.0, 8.0), None, {"forward": through(mse)}),
}


@pytest.mark.parametrize("name", SHORT)
def test_outputs_whose_range_cannot_reach_the_targets(name):
    found = start(SHORT[name])
    first = found.findings[0]
    assert first.id == "IC802", str(found)
    assert found.verdict in ("warn", "fail")
    assert is_true(first)
    within, best = map(float, re.findall(r"(?:within reach|constant) ([-\d.e+]+)", first.quantity))
    assert 0 < within <= found.losses[0]
    assert within == pytest.approx(first.measured * best, rel=0.02)


LONG = {
    "linear for 8 ± 5": (net(None, 1), numbers(5.0, 8.0), mse),
    "tanh within": (net(nn.Tanh, 1), mapped(numbers(), torch.tanh), mse),
    "tanh times 2 for ±2": (
        net(lambda s: 2 * torch.tanh(s), 1),
        mapped(numbers(), lambda y: 2 * y.sign()),
        mse,
    ),
    "sigmoid from 20 to 80 for ages": (net(lambda s: 20 + 60 * s.sigmoid(), 1), AGES, mse),
    "sigmoid for 0 to 1": (coder(torch.sigmoid), sketches(), mse),
    "softplus for positive targets": (
        net(nn.Softplus, 1),
        mapped(numbers(), lambda y: 1 + y.exp()),
        mse,
    ),
    "tanh within but for a little noise": (
        net(nn.Tanh, 1),
        mapped(numbers(), lambda y: torch.tanh(2 * y) + 0.02 * y),
        mse,
    ),
    "exponential": (net(torch.exp, 1), mapped(numbers(), torch.exp), squared),
}


@pytest.mark.parametrize("name", LONG)
def test_outputs_whose_range_reaches_the_targets(name):
    found = start(LONG[name])
    assert found.verdict == "pass", str(found)


def step_nll(m, b):
    return -m(b[0])[torch.arange(len(b[1])), b[1]].mean()


BOTTOMLESS = {
    "scores in NLL": (net(), groups, nll, {"optimizer": sgd(0.1)}),
    "scores in NLL by a class": (net(), groups, nn.NLLLoss()),
    "scores picked in a step": (net(), groups, None, {"forward": step_nll}),
    "labels of 1 and 2 in BCE": (net(None, 1), mapped(halves, lambda y: y + 1), bce),
    "labels of -1 and 1 in BCE": (net(None, 1), mapped(halves, lambda y: 2 * y - 1), bce),
    "cross-entropy of the wrong sign": (net(), groups, lambda o, y: -cross_entropy(o, y)),
    "squared error of the wrong sign": (net(None, 1), numbers(), lambda o, y: -squared(o, y)),
}


@pytest.mark.parametrize("name", BOTTOMLESS)
def test_a_loss_without_a_lower_bound(name):
    found = start(BOTTOMLESS[name])
    first = found.findings[0]
    assert (first.id, first.severity) == ("IC803", "error"), str(found)
    assert is_true(first)
    assert first.measured < 0
    if "labels" in name:
        low, high = map(float, re.findall(r"\(([-\d.]+) to ([-\d.]+)\)", first.cause)[0])
        assert low < 0 or high > 1


def listener(last):
    def run(m, x):
        return last(m.head(m.body(x)[0]))

    return lambda: Model(run, body=nn.GRU(12, 16, batch_first=True), head=nn.Linear(16, 20))


def heard():
    return torch.randn(4, 20, 12), torch.randint(1, 20, (4, 5))


def ctc(output, targets):
    lengths = torch.full((4,), 20), torch.full((4,), 5)
    return functional.ctc_loss(output.transpose(0, 1), targets, *lengths)


def test_scores_in_ctc_are_found_and_their_log_softmax_is_not():
    raw, right = (judged(listener(last), heard, ctc, steps=2)
                  for last in (lambda s: s, lambda s: s.log_softmax(-1)))  # fmt: skip
    assert (raw.findings[0].id, raw.verdict) == ("IC803", "fail"), str(raw)
    assert right.verdict == "pass", str(right)


BOUNDED = {
    "log-softmax in NLL": (net(log_softmax), groups, nll),
    "log-softmax picked in a step": (
        net(log_softmax), groups, None, {"forward": step_nll}),
    "scores in cross-entropy": (net(), groups, cross_entropy),
    "smooth labels in BCE": (net(None, 5), mapped(several, lambda y: 0.1 + 0.8 * y), bce),
    "negative likeness": (
        net(None, 16), numbers(outputs=16), lambda o, y: 1
        - functional.cosine_similarity(o, y).mean() - 1),
    "profit of a position of at most 1": (
        net(nn.Tanh, 1), numbers(), lambda o, y: -(o * y).mean()),
    "a density below zero": (
        net(None, 2), mapped(numbers(), lambda y: 1e-2 * y), lambda o, y: (
            o[:, 1:] + (y - o[:, :1]).square() / (2 * o[:, 1:].exp().square())).mean()),
    "a loss less a number": (net(), groups, lambda o, y: cross_entropy(o, y) - 100),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDED)
def test_a_loss_below_zero_is_not_without_a_bound(name):
    found = start(BOUNDED[name])
    assert "IC803" not in told(found), str(found)


EDGE = 1e-7
probability = functional.binary_cross_entropy
HIDDEN = {
    "raw numbers for BCE": (net(lambda s: s.clamp(EDGE, 1 - EDGE), 5), several, probability),
    "raw numbers for a logarithm": (
        net(), groups, lambda o, y: nll(o.clamp(min=1e-8).log(), y)),
    "error of the logarithm": (
        net(None, 1), mapped(numbers(), torch.exp),
        lambda o, y: squared(o.clamp(min=1e-6).log(), y.log())),
    "raw variance": (
        net(None, 2), numbers(), lambda o, y: (
            o[:, 1:].clamp(min=1e-6).log() + (y - o[:, :1]).square() / o[:, 1:].clamp(min=1e-6)
        ).mean()),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_values_that_a_clamp_hides_from_a_logarithm(name):
    found = start(HIDDEN[name])
    hidden = named(found, "IC804")
    assert hidden.severity == ("error" if hidden.measured > 0.25 else "warning")
    assert 0.05 < hidden.measured < 1
    assert found.verdict != "pass"
    assert re.search("clamp hides from (log|binary_cross_entropy)", hidden.quantity)
    assert is_true(hidden)


SHOWN = {
    "sigmoid and a clamp": (
        net(lambda s: s.sigmoid().clamp(1e-4, 1 - 1e-4), 5), several, probability),
    "softmax and a clamp": (
        net(lambda s: s.softmax(1).clamp(min=1e-7)), groups, lambda p, y: nll(p.log(), y)),
    "tanh and a clamp": (
        net(lambda s: s.tanh().clamp(-0.999, 0.999), 1), mapped(numbers(), torch.tanh), mse),
    "softplus and a constant": (
        net(None, 2), numbers(), lambda o, y: ((functional.softplus(o[:, 1:]) + 1e-6).log()
        + (y - o[:, :1]).square() / (functional.softplus(o[:, 1:]) + 1e-6)).mean()),
    "a log-variance within -10 and 10": (
        net(None, 2), numbers(), lambda o, y: (o[:, 1:].clamp(-10, 10)
        + (y - o[:, :1]).square() / o[:, 1:].clamp(-10, 10).exp()).mean()),
    "a norm that is kept from zero": (
        net(lambda s: s / s.norm(dim=1, keepdim=True).clamp(min=1e-6) * 8), groups, cross_entropy),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_a_clamp_that_hides_nothing(name):
    found = start(SHOWN[name])
    assert found.verdict == "pass", str(found)


def slope(m, b, **options):
    x = b[0].clone().requires_grad_()
    (found,) = torch.autograd.grad(m(x).sum(), [x], **options)
    return found.square().sum(1).mean()


CUT = {
    "a detached penalty": lambda m, b: mse(m(b[0]), b[1]) + m(b[0]).detach().square().mean(),
    "a detached error": lambda m, b: 1e-3 * mse(m(b[0]), b[1]) + mse(m(b[0]).detach(), b[1]),
    "a penalty of the slope without its graph": lambda m, b: mse(m(b[0]), b[1]) + 100 * slope(m, b),
    "a rounded error": lambda m, b: mse(m(b[0]), b[1]) + (2 * m(b[0]) + 2).round().square().mean(),
    "a number": lambda m, b: mse(m(b[0]), b[1]) + m(b[0]).square().mean().data,
}


@pytest.mark.parametrize("name", CUT)
def test_a_term_of_the_loss_without_gradient(name):
    found = judged(net(None, 1), numbers(), forward=CUT[name], steps=2)
    first = found.findings[0]
    assert first.id == "IC818", str(found)
    assert first.severity == ("error" if first.measured > 0.1 else "warning")
    assert 0 < first.measured < 1
    assert is_true(first)


def test_a_term_that_trains_nothing_the_optimiser_holds():
    """A generator whose pictures are detached before the network that judges them."""

    def step(m, batch):
        made = m.maker(batch[0])
        return mse(made, batch[1]) + m.judge(made.detach()).square().mean()

    def make():
        return Model(None, maker=nn.Linear(20, 1), judge=nn.Linear(1, 1))

    def optimizer(parameters):
        return torch.optim.Adam([*parameters][:2], 1e-3)

    found = judged(make, numbers(), forward=step, optimizer=optimizer, steps=2)
    finding = named(found, "IC818")
    assert finding.severity == "warning"
    assert 0 < finding.measured < 1
    assert finding.limit == 0
    assert is_true(finding)


def frozen_teacher(m, b):
    with torch.no_grad():
        goal = m.teacher(b[0])
    return mse(m.body(b[0]), goal) + mse(m.body(b[0]), b[1])


def pair():
    body = net(None, 1)()
    return Model(None, body=body, teacher=copy.deepcopy(body).requires_grad_(False))


LIVE = {
    "two errors": (net(None, 1), lambda m, b: mse(m(b[0]), b[1]) + m(b[0]).square().mean()),
    "a detached factor": (
        net(None, 1),
        lambda m, b: ((m(b[0]) - b[1]).square() * (m(b[0]) - b[1]).abs().detach()).mean()),
    "a detached target": (
        net(None, 1), lambda m, b: mse(m(b[0]), b[1]) + mse(m(b[0]), m(b[0]).detach() + 1)),
    "a teacher": (pair, frozen_teacher),
    "a penalty of the slope": (
        net(nn.Identity, 1), lambda m, b: mse(m(b[0]), b[1]) + slope(m, b, create_graph=True)),
    "a constant": (net(None, 1), lambda m, b: mse(m(b[0]), b[1]) + 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
def test_terms_that_have_a_gradient(name):
    make, forward = LIVE[name]
    found = judged(make, numbers(), forward=forward, steps=2)
    assert "IC818" not in told(found), str(found)
