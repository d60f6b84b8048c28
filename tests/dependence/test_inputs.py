"""Inputs that nothing reads, and those that only look unread."""

from __future__ import annotations

import pytest
import torch
from support.dependence import KINDS, WIDTH, ask, linear, model, named, rows, sequences
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose

FLAT, CLASSES = rows(6)
TIMES = torch.linspace(0, 1, 7)
KINDS_OF = torch.tensor([0, 2, 1, 1, 0, 2, 0])
WHOLE = torch.tensor([3, 5, 4, 2, 5, 1, 4])


def two(function, **parts):
    """A network with a condition beside its data."""
    return model(
        lambda m, x, c: m.head(function(m, m.body(x), c)),
        body=linear(6, 8), head=linear(8, KINDS), times=linear(1, 8),
        kinds=lambda: nn.Embedding(3, 8), **parts,
    )  # fmt: skip


def modulated(m, h, c):
    shift, scale = m.modulation(functional.silu(m.times(c[:, None]))).chunk(2, 1)
    return h * (1 + scale) + shift


def zeroed(*sizes):
    def make():
        layer = nn.Linear(*sizes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    return make


UNREAD = {
    "a time that is passed and forgotten": (two(lambda m, h, c: h.relu()), TIMES),
    "a time that is embedded and forgotten": (
        two(lambda m, h, c: (m.times(c[:, None]), h.relu())[1]), TIMES),
    "a time that another name hides": (
        two(lambda m, h, c: h + m.times(torch.zeros_like(c)[:, None])), TIMES),
    "a time that cancels": (two(lambda m, h, c: h + (c - c)[:, None]), TIMES),
    "a time of which a dimension is left by a softmax": (
        two(lambda m, h, c: h * c[:, None].softmax(1)), TIMES),
    "a class that is looked up and forgotten": (
        two(lambda m, h, c: (m.kinds(c), h.relu())[1]), KINDS_OF),
    "an image beside a text": (two(lambda m, h, c: h.relu()), torch.randn(7, 3, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_an_input_that_nothing_reads_is_named(name):
    net, condition = UNREAD[name]
    found = ask(net, ((FLAT, condition), CLASSES))
    assert named(found) == [("IC807", "")], str(found)
    assert found.findings[0].severity == "warning"
    assert "inputs[1] changes neither" in found.findings[0].cause
    assert found.proved.unread == ("inputs[1]",)
    assert found.proved.read == ("inputs[0]",)


READ = {
    "a time": (two(lambda m, h, c: h + m.times(c[:, None])), TIMES),
    "a class": (two(lambda m, h, c: h + m.kinds(c)), KINDS_OF),
    "a time behind a gate of zero": (
        two(lambda m, h, c: h + m.gate * m.times(c[:, None]),
            gate=lambda: nn.Parameter(torch.zeros(1))), TIMES),
    "a time behind a zero layer": (
        two(lambda m, h, c: h + m.zero(m.times(c[:, None])), zero=zeroed(8, 8)), TIMES),
    "adaptive normalisation that starts at zero": (
        two(modulated, modulation=zeroed(8, 16)), TIMES),
    "an adapter of which one half is zero": (
        two(lambda m, h, c: h + m.up(m.down(m.times(c[:, None]))), down=linear(8, 2),
            up=zeroed(2, 8)), TIMES),
    "a class behind an embedding of zeros": (
        two(lambda m, h, c: h + m.table(c),
            table=lambda: nn.Embedding.from_pretrained(torch.zeros(3, 8), freeze=False)), KINDS_OF),
    "a layer scale of a millionth": (
        two(lambda m, h, c: h + m.scale * m.times(c[:, None]),
            scale=lambda: nn.Parameter(torch.full((8,), 1e-6))), TIMES),
    "a condition of the whole batch": (
        two(lambda m, h, c: h * (1 + c.mean())), TIMES),
    "a condition of the set": (two(lambda m, h, c: h * (1 + c.amax())), TIMES),
    "a mask": (two(lambda m, h, c: h * c), torch.rand(7, 8) > 0.5),
    "a threshold": (two(lambda m, h, c: h * (c > 0.5)[:, None]), TIMES),
    "a constant": (two(lambda m, h, c: h.relu()), torch.ones(7)),
    "a constant number": (two(lambda m, h, c: h.relu()), torch.tensor(3.0)),
    "positions": (two(lambda m, h, c: h.relu()), torch.arange(8).expand(7, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_an_input_that_is_read_or_cannot_be_tested_is_left_alone(name):
    net, condition = READ[name]
    found = ask(net, ((FLAT, condition), CLASSES))
    assert named(found) == [], str(found)
    is_constant = "constant" in name or name == "positions"
    assert ("inputs[1]: it is constant" in str(found)) == is_constant


def test_the_loss_may_read_what_the_output_does_not():
    """Weights of samples, which a loss takes from the output of the model."""
    net = model(lambda m, x, w: (m.head(x), w), head=linear(6, KINDS))

    def weighted(output, targets):
        scores, weights = output
        return (functional.cross_entropy(scores, targets, reduction="none") * weights).mean()

    assert named(ask(net, ((FLAT, TIMES), CLASSES), weighted)) == []


def test_the_only_input():
    ignored = model(lambda m, x: m.out.expand(7, KINDS) * 1.0,
                    out=lambda: nn.Parameter(torch.randn(1, KINDS)))  # fmt: skip
    found = ask(ignored, (FLAT, CLASSES))
    assert named(found) == [("IC807", "")], str(found)


def test_a_model_less_its_own_copy_reads_its_input():
    net = model(lambda m, x: m.one(x) - m.two(x), one=linear(6, KINDS), two=linear(6, KINDS))
    net.two.load_state_dict(net.one.state_dict())
    found = ask(net, (FLAT, CLASSES))
    assert named(found) == [], str(found)
    assert found.proved.read == ("inputs",)


def rounded(weight):
    """Rounded to quarters in use, with the gradient of the weight itself."""
    return weight + ((weight * 4).round() / 4 - weight).detach()


def test_weights_that_are_rounded_to_zero_where_they_are_used_hide_no_input():
    """Steps of a quarter leave nothing of a start of 1/sqrt(64), until training moves it."""
    net = model(lambda m, x: functional.linear(m.body(x).relu(), rounded(m.head.weight)),
                body=linear(6, 64), head=linear(64, KINDS))  # fmt: skip
    found = ask(net, (FLAT, CLASSES))
    assert not bool(rounded(net.head.weight).any())
    assert named(found) == [], str(found)
    assert found.proved.read == ("inputs",)


def test_weights_that_other_weights_make_fail_are_no_proof():
    def once(m, x):
        if not torch.equal(m.body.weight, m.kept):
            raise ValueError("not these")
        return m.out.expand(7, KINDS) * 1.0

    net = model(once, body=linear(6, 8), out=lambda: nn.Parameter(torch.randn(1, KINDS)))
    net.kept = net.body.weight.detach().clone()
    assert "IC807" in {rule for rule, _ in named(ask(net, (FLAT, CLASSES)))}


def test_a_mapping_names_its_entries():
    net = model(lambda m, ids=None, kind=None: m.head(m.words(ids).mean(1)),
                words=lambda: nn.Embedding(9, WIDTH), head=linear(WIDTH, KINDS))  # fmt: skip
    net.forward = lambda ids, kind: net.function(net, ids, kind)
    ids = torch.randint(0, 9, (7, 4), generator=torch.Generator().manual_seed(0))
    found = ask(net, {"ids": ids, "kind": KINDS_OF, "labels": CLASSES})
    assert found.proved.unread == ("batch['kind']",), str(found)


def test_whoever_takes_the_batch_apart_picks_what_is_needed():
    net = model(lambda m, x: m.head(x), head=linear(6, KINDS))
    batch = {"x": FLAT, "path": KINDS_OF, "y": CLASSES}
    found = ask(net, batch, forward=lambda m, b: functional.cross_entropy(m(b["x"]), b["y"]))
    assert found.proved.unread == ("batch['path']",), str(found)
    assert named(found) == []


def test_values_that_the_model_refuses_are_not_asked_about():
    """Lengths have to fall: another order would be an error, the same order twice is none."""
    x, y = sequences()

    def run(m, x, lengths):
        if not torch.equal(lengths, WHOLE):
            raise ValueError("not these")
        return m.head(x.mean(1))

    found = ask(model(run, head=linear(WIDTH, KINDS)), ((x, WHOLE), y))
    assert named(found) == []
    assert "inputs[1]: the model refuses other values (InitcheckError)" in str(found)


def test_packed_lengths_stay_in_order():
    x, y = sequences()

    def run(m, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return m.head(m.cell(packed)[1][-1])

    net = model(run, cell=lambda: nn.GRU(WIDTH, 8, batch_first=True), head=linear(8, KINDS))
    lengths = torch.tensor([5, 5, 4, 4, 3, 2, 1])
    found = ask(net, ((x, lengths), y))
    assert named(found) == [], str(found)
    assert found.proved.read == ("inputs[0]", "inputs[1]")


def test_many_inputs_are_not_asked_about():
    net = model(lambda m, *xs: m.head(xs[0]), head=linear(6, KINDS))
    found = ask(net, ((FLAT,) * 9, CLASSES))
    assert named(found) == []
    assert "more than 8 inputs" in str(found)


def test_a_dead_branch_is_told_as_the_cause():
    """The ReLU behind the condition is dead: that is the finding, and what it leads to."""
    net = two(lambda m, h, c: h + m.mix(m.times(c[:, None]).relu()), mix=linear(8, 8))
    with torch.no_grad():
        net.times.bias.fill_(-50)
    found = diagnose(net, ((FLAT, TIMES), CLASSES))
    assert [f.id for f in found.findings if f.id in ("IC301", "IC807")] == ["IC301"], str(found)
