"""Causal models that see the future, and those that only look as if they did."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from support.dependence import WIDTH, WORDS, ask, encoder, linear, model, named, tokens
from torch import nn
from torch.nn import functional

LENGTH = 10
AHEAD = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
WAVES = torch.randn(4, 6, LENGTH, generator=torch.Generator().manual_seed(3))


def reader(between, **parts):
    """Embedded ids with positions, what is made of them, and scores of every word."""
    return model(
        lambda m, ids: m.head(between(m, m.words(ids) + m.places.weight[: ids.shape[1]])),
        words=lambda: nn.Embedding(WORDS, WIDTH), places=lambda: nn.Embedding(LENGTH, WIDTH),
        head=linear(WIDTH, WORDS), **parts,
    )  # fmt: skip


def masked(mask, **options):
    layers = options.pop("layers", lambda: encoder(batch_first=True))
    return reader(lambda m, h: m.encoder(h, mask=mask, **options), encoder=layers)


def attending(scores):
    """One layer of attention by hand, whose scores are changed by a function."""

    def run(m, h):
        weights = scores(m.q(h) @ m.k(h).mT / WIDTH**0.5).softmax(-1)
        return h + weights @ m.v(h)

    return reader(run, **{name: linear(WIDTH, WIDTH) for name in "qkv"})


def hidden(ahead):
    return lambda scores: scores.masked_fill(ahead, -torch.inf)


def fused(**options):
    def run(m, h):
        q, k, v = (part(h) for part in (m.q, m.k, m.v))
        return h + functional.scaled_dot_product_attention(q, k, v, **options)

    return reader(run, **{name: linear(WIDTH, WIDTH) for name in "qkv"})


def convolved(pad, dilation=1, **parts):
    """Convolutions along time, padded on the left and on the right."""

    def run(m, h):
        along = functional.pad(h.mT, pad)
        return h + parts.get("after", lambda m, h: h)(m, m.conv(along).mT.relu())

    extra = {name: part for name, part in parts.items() if name != "after"}
    return reader(run, conv=lambda: nn.Conv1d(WIDTH, WIDTH, 3, dilation=dilation), **extra)


def scanned(m, h):
    """A linear recurrence, one step after the other, as in state space models."""
    state, out = torch.zeros_like(h[:, 0]), []
    for step in h.unbind(1):
        state = m.decay.sigmoid() * state + m.into(step)
        out.append(state)
    return h + torch.stack(out, 1)


def retained(m, h):
    """Retention: a product of scores with powers of a decay, below the diagonal."""
    steps = torch.arange(h.shape[1])
    decay = (0.9 ** (steps[:, None] - steps).clamp(min=0)) * (steps[:, None] >= steps)
    return h + (m.q(h) @ m.k(h).mT * decay) @ m.v(h)


def chunked(m, h):
    """The same in chunks of five, whose states are handed on."""
    state, out = h.new_zeros(len(h), WIDTH, WIDTH), []
    for part in h.split(5, dim=1):
        q, k, v = m.q(part), m.k(part), m.v(part)
        inner = (q @ k.mT).tril() @ v
        out.append(inner + q @ state)
        state = state + k.mT @ v
    return h + torch.cat(out, 1)


def spectral(m, h):
    """A long convolution through a Fourier transform of twice the length (Hyena, S4)."""
    length = h.shape[1]
    made = torch.fft.rfft(h, 2 * length, dim=1) * torch.fft.rfft(m.filter, 2 * length, dim=0)
    return h + torch.fft.irfft(made, 2 * length, dim=1)[:, :length]


def circular(m, h):
    made = torch.fft.rfft(h, dim=1) * torch.fft.rfft(m.filter, dim=0)
    return h + torch.fft.irfft(made, h.shape[1], dim=1)


def averaged(m, h):
    return h + h.cumsum(1) / torch.arange(1, h.shape[1] + 1)[:, None]


def alibi(scores):
    steps = torch.arange(LENGTH)
    near = (steps - steps[:, None]).clamp(max=0) * 0.5
    return (scores + near).masked_fill(AHEAD, -torch.inf)


QKV = {name: linear(WIDTH, WIDTH) for name in "qkv"}
FILTER = {"filter": lambda: nn.Parameter(torch.randn(LENGTH, WIDTH) / LENGTH)}
TWO_LAYERS = {
    "first": lambda: nn.MultiheadAttention(WIDTH, 2, batch_first=True),
    "second": lambda: nn.MultiheadAttention(WIDTH, 2, batch_first=True),
}


def second_unmasked(m, h):
    h = h + m.first(h, h, h, attn_mask=AHEAD)[0]
    return h + m.second(h, h, h)[0]


def gated(m, h):
    return h + m.gate * (m.encoder(h) - h)


FAULTS = {
    "no mask": (masked(None), "encoder.layers.0.self_attn"),
    "a mask that is inverted": (attending(hidden(~AHEAD & ~torch.eye(10, dtype=torch.bool))), ""),
    "a mask that is off by one": (
        masked(torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(2)), "encoder.layers.0.self_attn"),
    "a mask along the other axis": (attending(hidden(AHEAD.T)), ""),
    "a mask added after the softmax": (
        reader(lambda m, h: h + ((m.q(h) @ m.k(h).mT).softmax(-1) - 1e-3 * AHEAD) @ m.v(h), **QKV),
        ""),
    "a mask that is too weak": (attending(lambda scores: scores - 2.0 * AHEAD), ""),
    "fused attention without is_causal": (fused(), ""),
    "the second layer without its mask": (reader(second_unmasked, **TWO_LAYERS), "second"),
    "a convolution padded on both sides": (convolved((1, 1)), "conv"),
    "a dilated convolution with too little on the left": (convolved((2, 2), 2), "conv"),
    "a bidirectional cell": (
        reader(lambda m, h: m.cell(h)[0],
               cell=lambda: nn.GRU(WIDTH, 6, batch_first=True, bidirectional=True)), "cell"),
    "a cell that runs backwards": (
        reader(lambda m, h: m.cell(h.flip(1))[0].flip(1),
               cell=lambda: nn.LSTM(WIDTH, WIDTH, batch_first=True)), ""),
    "a layer normalisation over time and features": (
        convolved((2, 0), after=lambda m, h: m.norm(h),
                  norm=lambda: nn.LayerNorm((LENGTH, WIDTH))), "norm"),
    "an instance normalisation over time": (
        convolved((2, 0), after=lambda m, h: m.norm(h.mT).mT,
                  norm=lambda: nn.InstanceNorm1d(WIDTH)), "norm"),
    "a mean over all positions": (reader(lambda m, h: h + h.mean(1, keepdim=True)), ""),
    "a squeeze and excitation": (
        convolved((2, 0), after=lambda m, h: h * m.squeeze(h.mean(1, keepdim=True)).sigmoid(),
                  squeeze=linear(WIDTH, WIDTH)), ""),
    "a circular convolution": (reader(circular, **FILTER), ""),
    "a mixer of positions": (
        reader(lambda m, h: h + m.mix(h.mT).mT, mix=linear(LENGTH, LENGTH)), "mix"),
    "behind a gate of zero": (
        reader(gated, gate=lambda: nn.Parameter(torch.zeros(1)),
               encoder=lambda: encoder(batch_first=True)), "encoder.layers.0.self_attn"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_model_that_sees_the_future_is_found_and_named(name):
    net, layer = FAULTS[name]
    found = ask(net, tokens(), next_word, causal=True)
    assert named(found) == [("IC806", layer)], str(found)
    assert found.findings[0].severity == "error"
    causality = found.proved.causality
    assert causality.perturbed == LENGTH // 2
    assert f"from position {causality.earlier[0]} on" in found.findings[0].cause


def next_word(scores, targets):
    return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())


SOUND = {
    "a mask": masked(AHEAD),
    "a mask of floats": masked(nn.Transformer.generate_square_subsequent_mask(LENGTH)),
    "a mask that says is_causal": masked(AHEAD, is_causal=True),
    "fused attention that is causal": fused(is_causal=True),
    "a mask of large numbers": attending(lambda scores: scores - 1e9 * AHEAD),
    "attention that prefers what is near": attending(alibi),
    "a window of three": attending(hidden(AHEAD | AHEAD.T.tril(-3))),
    "convolutions padded on the left": convolved((2, 0)),
    "dilated convolutions padded on the left": convolved((4, 0), 2),
    "a cell": reader(lambda m, h: m.cell(h)[0],
                     cell=lambda: nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)),
    "batch normalisation over samples and time": convolved(
        (2, 0), after=lambda m, h: m.norm(h.mT).mT, norm=lambda: nn.BatchNorm1d(WIDTH)),
    "layer normalisation of each position": convolved(
        (2, 0), after=lambda m, h: m.norm(h), norm=lambda: nn.LayerNorm(WIDTH)),
    "a running mean": reader(averaged),
    "a linear recurrence": reader(
        scanned, into=linear(WIDTH, WIDTH), decay=lambda: nn.Parameter(torch.zeros(WIDTH))),
    "retention": reader(retained, **QKV),
    "linear attention in chunks": reader(chunked, **QKV),
    "a long convolution by a Fourier transform": reader(spectral, **FILTER),
    "no exchange at all": reader(lambda m, h: h.relu()),
    "positions moved by one": reader(lambda m, h: h + functional.pad(h, (0, 0, 1, 0))[:, :-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_causal_model_is_left_alone(name):
    found = ask(SOUND[name], tokens(), next_word, causal=True)
    assert named(found) == [], str(found)
    assert found.proved.causality.moved, str(found)


def waved(pad):
    """A convolution along the last axis, as signals lie."""
    return model(lambda m, x: m.head(m.conv(functional.pad(x, pad)).relu()),
                 conv=lambda: nn.Conv1d(6, 8, 3), head=lambda: nn.Conv1d(8, 6, 1))  # fmt: skip


def test_time_may_be_the_last_axis():
    batch = WAVES, WAVES.roll(-1, -1)
    assert named(ask(waved((2, 0)), batch, causal=True)) == []
    assert named(ask(waved((1, 1)), batch, causal=True)) == [("IC806", "conv")]


def test_time_may_come_first():
    def run(m, x):
        return m.head(m.cell(x)[0])

    x = torch.randn(LENGTH, 4, 6)
    for options, ids in (({}, []), ({"bidirectional": True}, [("IC806", "cell")])):
        width = 16 if options else 8
        net = model(run, cell=lambda o=options: nn.GRU(6, 8, **o), head=linear(width, 6))
        assert named(ask(net, (x, x.roll(-1, 0)), causal=True)) == ids


def test_flat_outputs_are_read_in_either_order():
    ids, following = tokens()
    for mask, expected in ((AHEAD, []), (None, ["IC806"])):
        net = masked(mask)
        flat = model(lambda m, ids: m.net(ids).flatten(0, 1), net=lambda n=net: n)
        found = ask(flat, (ids, following.flatten()), causal=True)
        assert [id for id, _ in named(found)] == expected, str(found)


def test_nobody_said_that_it_is_causal():
    for causal in (None, False):
        found = ask(masked(None), tokens(), next_word, causal=causal)
        assert named(found) == []
        assert found.proved.causality is None


class ToyForCausalLM(nn.Module):
    """A language model of the kind whose configuration says what it is."""

    def __init__(self, mask, **config):
        super().__init__()
        self.net = masked(mask)
        self.config = SimpleNamespace(**config)
        self.shift = 1

    def forward(self, input_ids, labels):
        scores = self.net(input_ids)
        ahead, behind = (scores[:, :-1], labels[:, 1:]) if self.shift else (scores, labels)
        return {"loss": next_word(ahead, behind), "logits": scores}


class Toy(ToyForCausalLM):
    """The same under a name that says nothing."""


def words():
    ids, _ = tokens()
    return {"input_ids": ids, "labels": ids}


@pytest.mark.parametrize(
    ("kind", "config", "severities"),
    [
        (ToyForCausalLM, {}, ["error"]),
        (ToyForCausalLM, {"is_decoder": True}, ["error"]),
        (ToyForCausalLM, {"is_decoder": False}, ["warning"]),
        (ToyForCausalLM, {"is_encoder_decoder": True}, []),
        (ToyForCausalLM, {"is_causal": False}, []),
        (ToyForCausalLM, {"use_bidirectional_attention": True}, []),
        (ToyForCausalLM, {"attn_type": "bi"}, []),
        (Toy, {"is_decoder": True}, ["error"]),
        (Toy, {}, []),
    ],
)
def test_the_configuration_says_whether_it_is_causal(kind, config, severities):
    found = ask(kind(None, **config), words())
    assert [f.severity for f in found.findings if f.id == "IC806"] == severities, str(found)
    assert named(ask(kind(AHEAD, **config), words())) == []
    assert named(ask(kind(None, **config), words(), causal=False)) == []


def test_a_loss_that_predicts_no_next_token_is_no_causal_objective():
    net = ToyForCausalLM(None)
    net.shift = 0
    found = ask(net, words())
    assert named(found) == []
    assert "predicts no next token" in str(found)
    assert [id for id, _ in named(ask(net, words(), causal=True))] == ["IC806"]


@pytest.mark.parametrize(
    ("net", "batch", "reason"),
    [
        (
            model(lambda m, x: m.head(x.mean(1)), head=linear(6, 3)),
            (torch.randn(8, 5, 6), torch.arange(8) % 3),
            "no axis of the inputs is one of the output",
        ),
        (
            model(lambda m, x: m.head(x), head=linear(6, 5)),
            (torch.ones(8, 5, 6), torch.rand(8, 5, 5)),
            "no axis of the inputs is one of the output",
        ),
    ],
)
def test_what_could_not_be_asked_is_said(net, batch, reason):
    found = ask(net, batch, causal=True)
    assert reason in str(found)
    assert named(found) == []


def test_the_answer_as_text():
    found = str(ask(masked(None), tokens(), next_word, causal=True).proved)
    assert "replacing 5 of 10 in inputs moved the output at 0 to 9 (causal: causal=True)" in found
    assert "through encoder.layers.0.self_attn, bmm" in found
