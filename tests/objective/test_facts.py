"""What is known of an objective: floor, reach, best constant, and what stands before the loss."""

from __future__ import annotations

import math

import pytest
import torch
from corpus.contract.builders import (
    coder,
    groups,
    halves,
    mapped,
    net,
    numbers,
    several,
    softmax,
    squared,
)  # fmt: skip
from corpus.contract.small import penalised, with_penalty
from corpus.contract.twice import contrast, two
from corpus.contract.unbounded import ends, known, padded, some
from corpus.unusual.builders import Model
from corpus.unusual.wrappers import Answer
from support.objective import asked, started, through
from support.state import changed, fingerprint
from torch import nn
from torch.nn import functional

from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.objective.facts import objective_facts

bce, mse = functional.binary_cross_entropy_with_logits, functional.mse_loss
cross_entropy, nll = functional.cross_entropy, functional.nll_loss


def five():
    return groups(5, 125)


def mostly():
    """Nine of ten samples in one class."""
    x, y = groups()
    return x, torch.where(torch.arange(128) < 115, 0, y)


def entropy(*shares):
    return -sum(p * math.log(p) for p in shares)


LN2 = math.log(2)
COUNTS = (torch.where(torch.arange(128) < 115, 0, torch.arange(128) % 10).bincount() / 128).tolist()
SMOOTHED = entropy(0.91, *[0.01] * 9)
FLAT = mapped(numbers(), lambda y: y[:, 0])
BOUNDED = mapped(numbers(), torch.tanh)

# The loss, and what it can reach: of any output, within the model's range, of a constant.
REACH = {
    "scores of five classes": (net(None, 5), five, cross_entropy, (0.0, 0.0, math.log(5))),
    "softmax of five classes": (
        net(softmax, 5), five, cross_entropy, (0.0, math.log(1 + 4 / math.e), math.log(5))),
    "sigmoid of ten classes": (
        net(nn.Sigmoid), lambda: groups(10, 120), cross_entropy,
        (0.0, math.log(1 + 9 / math.e), math.log(10))),
    "tanh of ten classes": (
        net(nn.Tanh), lambda: groups(10, 120), cross_entropy,
        (0.0, math.log(1 + 9 * math.exp(-2)), math.log(10))),
    "log-softmax": (net(lambda s: s.log_softmax(1)), five, cross_entropy, (0.0, 0.0, None)),
    "sigmoid before a sigmoid": (
        net(nn.Sigmoid, 1), halves, bce, (0.0, (LN2 + math.log(1 + 1 / math.e)) / 2, LN2)),
    "sigmoid and BCE": (
        net(nn.Sigmoid, 1), halves, functional.binary_cross_entropy, (0.0, 0.0, LN2)),
    "label smoothing": (
        net(), lambda: groups(10, 120), nn.CrossEntropyLoss(label_smoothing=0.1),
        (SMOOTHED, SMOOTHED, math.log(10))),
    "classes of unequal share": (net(), mostly, cross_entropy, (0.0, 0.0, entropy(*filter(None,
        COUNTS)))),
    "numbers": (net(None, 1), numbers(), mse, (0.0, 0.0, 127 / 128)),
    "numbers far from zero": (net(None, 1), numbers(0.1, 90.0), mse, (0.0, 0.0, 1.27 / 128)),
    "numbers in the millions": (net(None, 1), numbers(1e6), mse, (0.0, 0.0, 1e12 * 127 / 128)),
    "absolute error": (
        net(None, 1), mapped(numbers(), torch.sign), nn.L1Loss(), (0.0, 0.0, None)),
    "tanh of numbers within": (net(nn.Tanh, 1), BOUNDED, mse, (0.0, 0.0, None)),
    "tanh of a hundred": (
        net(nn.Tanh, 1), mapped(numbers(), lambda y: 100 * y.sign()), mse, (0.0, 99.0**2, None)),
    "softplus of negative targets": (
        net(nn.Softplus, 1), mapped(numbers(), lambda y: -torch.ones_like(y)), mse,
        (0.0, 1.0, None)),
    "hinge": (
        net(None, 1), mapped(halves, lambda y: 2 * y - 1),
        lambda o, y: functional.relu(1 - y * o).mean(), (0.0, 0.0, 1.0)),
    "penalty beside the scores": (
        lambda: Model(with_penalty, body=net()()), lambda: groups(10, 120), penalised, None),
    "shares as targets": (
        net(None, 5), mapped(numbers(outputs=5), lambda y: torch.full_like(y, 0.2)),
        cross_entropy, (math.log(5),) * 3),
}  # fmt: skip


@pytest.mark.parametrize("form", ["loss_fn", "forward"])
@pytest.mark.parametrize("name", REACH)
def test_what_the_loss_can_reach(name, form):
    """The same however the loss is passed."""
    make, data, loss, wanted = REACH[name]
    ways = {"loss_fn": loss} if form == "loss_fn" else {"forward": through(loss)}
    facts = asked(make, data, **ways)
    if wanted is None:
        assert facts.constant - facts.floor == pytest.approx(math.log(10), abs=0.02)
        assert facts.lost == pytest.approx(0, abs=1e-3)
        return
    for found, right in zip((facts.floor, facts.reachable, facts.constant), wanted, strict=True):
        if right is not None:
            size = facts.constant or 1.0
            assert found == pytest.approx(right, abs=4e-3 * size, rel=4e-3)


def answered(last):
    """A model with a loss of its own."""

    def run(m, x, labels):
        out = last(m.body(x))
        return Answer(loss=cross_entropy(out, labels), logits=out)

    return lambda: Model(run, body=net(None, 5)())


def labelled():
    return dict(zip(("x", "labels"), five(), strict=True))


def test_a_loss_of_the_models_own_tells_the_same():
    squashed, free = (asked(answered(last), labelled) for last in (softmax, lambda s: s))
    assert squashed.reachable == pytest.approx(math.log(1 + 4 / math.e), abs=2e-3)
    assert squashed.lost == pytest.approx(0.9048 / math.log(5), abs=5e-3)
    assert (squashed.bound, squashed.squashes_again) == ("softmax", True)
    assert free.lost == pytest.approx(0, abs=1e-3)
    assert free.constant == pytest.approx(math.log(5), abs=2e-3)


@pytest.mark.parametrize(("last", "loss", "data", "bound", "again"), [
    (softmax, cross_entropy, groups, "softmax", True),
    (nn.Sigmoid, cross_entropy, groups, "sigmoid", True),
    (lambda s: s.clamp(-1, 1), cross_entropy, groups, "clamp", True),
    (functional.normalize, cross_entropy, groups, "normalize", True),
    (nn.Tanh, squared, numbers(outputs=10), "tanh", False),
    (None, cross_entropy, groups, "", True),
    (None, squared, numbers(outputs=10), "", False),
])  # fmt: skip
def test_the_bound_is_the_last_operation_before_the_output(last, loss, data, bound, again):
    facts = asked(net(last), data, loss)
    assert (facts.bound, facts.squashes_again) == (bound, again)


def test_a_squashing_in_the_loss_is_found_there():
    facts = asked(net(), groups, lambda o, y: cross_entropy(o.softmax(1), y))
    assert facts.bound_in_loss == "softmax"
    assert facts.lost_in_loss == pytest.approx(math.log(1 + 9 / math.e) / math.log(10), abs=0.01)
    once = asked(net(), groups, lambda o, y: nll(o.softmax(1).log(), y))
    assert (once.bound_in_loss, once.lost_in_loss) == ("", 0.0)


def focal(logits):
    """A focal loss whose cross-entropy gets logits, or what they are squashed to."""

    def loss(o, y):
        p = o.sigmoid()
        given = o if logits else p
        ce = functional.binary_cross_entropy_with_logits(given, y, reduction="none")
        return (ce * (1 - p * y - (1 - p) * (1 - y)).square()).mean()

    return loss


@pytest.mark.parametrize("logits", [False, True])
def test_a_likelihood_within_the_loss_is_asked_for_itself(logits):
    """The factor of a focal loss is zero where the model is right, whatever it multiplies."""
    facts = asked(net(None, 5), several, focal(logits))
    assert facts.reachable == pytest.approx(0, abs=1e-3)
    assert (facts.lost_in_loss > 0.3) == (not logits)
    assert (facts.within_loss is None) == logits


def test_a_squashing_of_a_wide_range_takes_nothing_from_a_likelihood():
    facts = asked(net(), groups, lambda o, y: cross_entropy(20 * (o / 20).tanh(), y))
    assert facts.lost_in_loss < 0.01


@pytest.mark.parametrize(("data", "loss", "nothing"), [
    (mapped(groups, torch.zeros_like), cross_entropy, True),
    (groups, cross_entropy, False),
    (mapped(numbers(outputs=10), torch.zeros_like), mse, True),
    (mapped(numbers(outputs=10), lambda y: 1e-3 * y), mse, False),
    (numbers(0.01, 90.0, 10), mse, False),
    (groups, lambda o, y: o.square().mean(), False),
    (mapped(groups, lambda y: 0 * y - 100), lambda o, y: cross_entropy(o, y, reduction="sum"),
        True),
])  # fmt: skip
def test_targets_ask_for_nothing_where_a_constant_has_the_floor(data, loss, nothing):
    assert asked(net(), data, loss).asks_nothing is nothing


def test_nothing_is_lost_where_there_is_nothing_to_learn():
    """The last bit of a sigmoid is no part of what can be learnt."""
    facts = asked(coder(torch.sigmoid), lambda: (torch.zeros(64, 36),) * 2)
    assert facts.asks_nothing
    assert not facts.lost


@pytest.mark.parametrize(("last", "data", "shapes"), [
    (None, FLAT, ((128, 1), (128,))),
    (lambda s: s[:, 0], numbers(), ((128,), (128, 1))),
    (None, numbers(), None),
    (lambda s: s[:, 0], FLAT, None),
    (None, mapped(numbers(), torch.mean), None),
    (None, mapped(numbers(), lambda y: y[:1]), None),
])  # fmt: skip
def test_shapes_that_broadcast_are_named(last, data, shapes):
    assert asked(net(last, 1), data, squared).broadcast == shapes


def test_a_constant_is_one_and_the_same_in_all_calls_of_the_model():
    """Neither data nor noise are told by a constant: ln 2 for each, where any output costs 0."""
    found = asked(net(None, 1), two, None, contrast)
    assert found.constant == pytest.approx(2 * math.log(2), rel=1e-3)
    assert found.floor == pytest.approx(0, abs=1e-3)


def test_the_larger_of_two_outputs_is_no_clamp():
    """The volume that two boxes share: a corner of each is an output, and the larger one counts."""

    def shared(output, targets):
        low, high = output.chunk(2, 1)[0], output.chunk(2, 1)[1] + 1
        side = torch.minimum(high, high.flip(0)) - torch.maximum(low, low.flip(0))
        return (functional.softplus(side).log() - targets[:, None]).square().mean()

    found = asked(net(None, 4), lambda: (groups()[0], torch.randn(len(groups()[0]))), shared)
    assert found.loss > 0
    assert found.clipped is None


@pytest.mark.parametrize(("keep", "share", "by", "before"), [
    (lambda s: s.clamp(1e-7, 1 - 1e-7), 0.5, "clamp", "binary_cross_entropy"),
    (lambda s: s.sigmoid().clamp(1e-7, 1 - 1e-7), 0.0, "", ""),
    (lambda s: s.sigmoid().clamp(0.4, 0.6), None, "clamp", "binary_cross_entropy"),
    (lambda s: torch.sigmoid(s).clamp(1e-4, 1 - 1e-4), 0.0, "", ""),
])  # fmt: skip
def test_the_share_of_values_that_a_clamp_hides(keep, share, by, before):
    start = started(lambda: (net(None, 5)(), several()))
    hidden = asked(net(keep, 5), several, functional.binary_cross_entropy).clipped
    if share == 0.0:
        assert hidden is None
        return
    with torch.no_grad():
        raw = start[0](start[1][0])
        raw, kept = (raw.sigmoid(), keep(raw)) if share is None else (raw, keep(raw))
    assert hidden.share == pytest.approx(
        float((raw - kept).abs().gt(2e-3).float().mean()), abs=0.02
    )
    assert (hidden.by, hidden.before) == (by, before)


@pytest.mark.parametrize(("step", "share"), [
    (lambda m, b: mse(m(b[0]), b[1]) + m(b[0]).detach().square().mean(), None),
    (lambda m, b: mse(m(b[0]), b[1]) + 2 * mse(m(b[0]), b[1]).detach(), 2 / 3),
    (lambda m, b: mse(m(b[0]), b[1]) + m(b[0]).square().mean(), 0.0),
    (lambda m, b: (m(b[0]) * m(b[0]).detach() - b[1]).square().mean(), 0.0),
    (lambda m, b: mse(m(b[0]), m(b[0]).detach() + b[1]), 0.0),
    (lambda m, b: mse(m(b[0]), b[1]) + 1.0, 0.0),
])  # fmt: skip
def test_the_share_of_the_loss_in_terms_without_gradient(step, share):
    facts = asked(net(None, 1), numbers(), forward=step)
    if share is None:
        assert 0 < facts.dead_term < 1
    else:
        assert facts.dead_term == pytest.approx(share, abs=1e-3)


def scene():
    return nn.Conv2d(3, 4, 3, padding=1)


def pixels():
    x = torch.randn(4, 3, 8, 8)
    return x, torch.randint(0, 4, (4, 8, 8))


@pytest.mark.parametrize(("loss", "mixed"), [
    (lambda o, y: cross_entropy(o.view(-1, 4), y.view(-1)), True),
    (lambda o, y: cross_entropy(o.permute(0, 2, 3, 1).reshape(-1, 4), y.view(-1)), False),
    (cross_entropy, False),
    (lambda o, y: cross_entropy(o, y.transpose(1, 2)), True),
])  # fmt: skip
def test_outputs_compared_with_the_targets_of_others(loss, mixed):
    assert asked(scene, pixels, loss).mispaired is mixed


def two_tasks():
    x, y = numbers()()
    return x, {"size": y, "kind": torch.arange(128) % 3}


def test_targets_that_the_loss_does_not_read_are_named():
    facts = asked(net(None, 4), two_tasks, lambda o, t: mse(o[:, :1], t["size"]))
    assert facts.unread == ("targets['kind']",)
    # What stands beside the targets of a single output may be there to be measured.
    assert asked(net(None, 1), two_tasks, lambda o, t: mse(o, t["size"])).unread == ()

    def both(o, t):
        return mse(o[:, :1], t["size"]) + cross_entropy(o[:, 1:], t["kind"])

    both = asked(net(None, 4), two_tasks, both)
    assert both.unread == ()


def with_target():
    x, y = numbers()()
    return torch.cat([x[:, :19], y], 1), y


def test_a_column_that_holds_the_targets_is_named():
    assert "column 19" in asked(net(None, 1), with_target, mse).copied
    assert asked(net(None, 1), numbers(), mse).copied == ""


def test_inputs_and_targets_that_are_the_same_for_every_sample():
    same = asked(net(), lambda: (torch.ones(64, 20), torch.arange(64) % 10))
    assert (same.has_equal_inputs, same.has_equal_targets) == (True, False)
    flat = asked(net(), lambda: (torch.randn(64, 20), torch.full((64,), 3)))
    assert (flat.has_equal_inputs, flat.has_equal_targets) == (False, True)


@pytest.mark.parametrize(("data", "loss", "kind"), [
    (groups, cross_entropy, "classes"), (numbers(outputs=10), mse, "numbers"),
    (mapped(numbers(outputs=10), lambda y: y.softmax(1)), cross_entropy, "shares"),
    (groups, lambda o, y: o.square().mean(), ""),
])  # fmt: skip
def test_the_kind_of_the_targets(data, loss, kind):
    facts = asked(net(), data, loss)
    assert (facts.targets, facts.sides) == (kind, 1 if kind else 0)


UNBOUNDED = {
    "scores in NLL": (net(), groups, nll, True),
    "log-softmax in NLL": (net(lambda s: s.log_softmax(1)), groups, nll, False),
    "scores in cross-entropy": (net(), groups, cross_entropy, False),
    "labels of 2 in BCE": (net(None, 1), mapped(halves, lambda y: 2 * y), bce, True),
    "labels of 1 in BCE": (net(None, 1), halves, bce, False),
    "the wrong sign": (net(None, 1), numbers(), lambda o, y: -squared(o, y), True),
    "numbers": (net(None, 1), numbers(), squared, False),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_loss_without_a_lower_bound(name):
    make, data, loss, without = UNBOUNDED[name]
    facts = asked(make, data, loss)
    assert facts.is_bottomless is without
    if name == "scores in NLL":
        assert facts.is_unnormalised
        assert facts.is_linear


def per_positive(output, y):
    """A focal loss summed and divided by the number of ones, as detectors have it."""
    hit = torch.where(y > 0, output.sigmoid(), 1 - output.sigmoid())
    weight = torch.where(y > 0, 0.75, 0.25)
    return -(weight * (1 - hit).square() * hit.clamp(min=1e-6).log()).sum() / y.sum()


def per_negative(output, y):
    """The same of zeros."""
    hit = torch.where(y > 0, output.sigmoid(), 1 - output.sigmoid())
    weight = torch.where(y > 0, 0.25, 0.75)
    return -(weight * (1 - hit).square() * hit.clamp(min=1e-6).log()).sum() / (1 - y).sum()


def written_out(output, y):
    """A cross-entropy of both classes, each with its own targets, per one of the rare."""
    p = output.sigmoid().clamp(1e-6, 1 - 1e-6)
    return -(y * p.log() * 4 + (1 - y) * (1 - p).log()).sum() / y.sum()


def rare():
    x = torch.randn(64, 20)
    return x, (x[:, :6] > 2.0).float()


COMMON, REAL = mapped(rare, lambda y: 1 - y), mapped(rare, torch.randn_like)
PRIORS = {
    "rare ones": (rare, per_positive, -4.6, True),
    "rare zeros": (COMMON, per_negative, 4.6, True),
    "against rare ones": (rare, per_positive, 4.6, False),
    "against rare zeros": (COMMON, per_negative, -4.6, False),
    "rare ones, written out": (rare, written_out, -4.6, True),
    "against rare ones, written out": (rare, written_out, 4.6, False),
    "numbers are no classes": (REAL, mse, -4.6, False),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_what_all_outputs_share_and_nearly_all_targets_say(name):
    data, loss, bias, is_prior = PRIORS[name]

    def make():
        head = nn.Linear(20, 6)
        nn.init.normal_(head.weight, 0, 0.01)
        nn.init.constant_(head.bias, bias)
        return nn.Sequential(head)

    assert asked(make, data, loss).is_prior is is_prior


def test_the_calmest_loss_of_scaled_outputs():
    def loud():
        model = net()()
        nn.init.normal_(model[2].weight, 0, 3)
        return model

    facts = asked(loud, lambda: groups(10, 120))
    assert facts.loss > 8
    assert facts.calmest == pytest.approx(math.log(10), abs=0.1)


class Doubled(torch.autograd.Function):
    """A function of the author's, with a backward pass of its own."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def in_place(s):
    s = s * 1.0
    s.mul_(2).add_(1)
    s[:, 0] -= 1
    return s.relu_() - 3


def cast(dtype):
    def data():
        x, y = five()
        return x.to(dtype), y

    return lambda: net(softmax, 5)().to(dtype), data


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_asked_too(dtype):
    facts = asked(*cast(dtype), cross_entropy)
    assert facts.reachable == pytest.approx(math.log(1 + 4 / math.e), abs=0.02)
    assert facts.lost > 0.5


@pytest.mark.parametrize("last", [in_place, Doubled.apply, lambda s: Doubled.apply(s).tanh() * 9])
def test_calls_in_place_and_functions_of_the_authors_are_played(last):
    facts = asked(net(last, 5), five, cross_entropy)
    assert facts.constant == pytest.approx(math.log(5), abs=5e-3)
    assert facts.reachable < 0.05


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [
    lambda: torch.jit.script(net(nn.Softmax(1), 5)()),
    lambda: torch.jit.trace(net(None, 5)(), torch.randn(4, 20)),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(20, 5)),
])  # fmt: skip
def test_scripted_traced_and_parametrised_models_are_asked_or_left(make):
    facts = asked(make, five, cross_entropy)
    assert facts is None or facts.constant == pytest.approx(math.log(5), abs=5e-3)


def raised(*_):
    raise ValueError("no")


def counting():
    """Another loss at each call: its tail cannot be played again."""
    calls = []

    def loss(o, y):
        calls.append(1)
        return cross_entropy(o * len(calls) + torch.randn_like(o), y)

    return loss


def second_order(m, b):
    """A penalty of the gradient with respect to the input."""
    x = b[0].clone().requires_grad_()
    out = m(x)
    (slope,) = torch.autograd.grad(out.sum(), [x], create_graph=True)
    return cross_entropy(out, b[1]) + (slope.norm(dim=1) - 1).square().mean()


LEFT_ALONE = {
    "a forward that raises": (net(raised), groups, {}),
    "a loss that raises": (net(), groups, {"loss_fn": raised}),
    "a loss of NaN": (net(lambda s: s * math.nan), groups, {}),
    "a loss that is no tensor": (net(), groups, {"loss_fn": lambda o, y: 1.0}),
    "a loss without gradient": (net(), groups, {"forward": lambda m, b: m(b[0]).detach().sum()}),
    "a loss of the parameters": (
        net(), groups, {"forward": lambda m, b: sum(p.square().sum() for p in m.parameters())}),
    "another loss each time": (net(), groups, {"loss_fn": counting()}),
    "noise in the loss": (
        net(), groups, {"loss_fn": lambda o, y: cross_entropy(o + torch.randn(o.shape), y)}),
    "numpy on the way": (
        net(lambda s: s * torch.from_numpy(s.detach().numpy())), groups, {}),
    "a penalty of the gradient": (net(), groups, {"forward": second_order}),
    "one sample": (net(), lambda: groups(10, 1), {}),
    "a number as output": (net(torch.mean), groups, {"loss_fn": lambda o, y: o.square()}),
    "a loop of a thousand calls": (
        net(lambda s: [s := s + 1e-4 * s.sin() for _ in range(1500)][-1]), groups, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_cannot_be_asked_never_raises_and_leaves_no_trace(name):
    make, data, options = LEFT_ALONE[name]
    start = started(lambda: (make(), data()))
    before = fingerprint(*start)
    with preserved(start[0], *options.values()):
        facts = objective_facts(Program(start[0], start[1], **options))
    assert facts is None or math.isfinite(facts.loss)
    assert changed(before, fingerprint(*start)) == []


def test_a_tail_that_cannot_be_played_again_gives_no_facts():
    for name in ("a forward that raises", "a loss that raises", "a loss of NaN"):
        make, data, options = LEFT_ALONE[name]
        assert asked(make, data, **options) is None


def test_a_batch_that_only_selects_is_no_target():
    found = asked(ends(outputs=1), mapped(padded, lambda y: y[:, None].float()), mse)
    assert (found.sides, found.targets) == (1, "numbers")

    masked = asked(net(), some, known(cross_entropy))
    assert (masked.sides, masked.targets) == (1, "classes")

    picked = asked(net(), groups, lambda o, y: -o.log_softmax(1)[functional.one_hot(y) > 0].mean())
    assert (picked.sides, picked.targets) == (1, "classes")
