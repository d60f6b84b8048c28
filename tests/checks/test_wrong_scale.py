"""Fans of another shape than the layer's, gains of another nonlinearity, and what is neither."""

from __future__ import annotations

import math

import pytest
import torch
from corpus.construction import scales
from support.starts import ids, labelled, named, told
from torch import nn

from pytest_initcheck import construction, diagnose

HE = {"nonlinearity": "relu"}
BATCH = labelled(16, 4)


class Stored(scales.Stored):
    """Two weights stored (in, out) and multiplied from the right."""

    def __init__(self, draw):
        super().__init__(draw, features=16, kinds=4)


class Experts(nn.Module):
    """A stack of matrices, each stored (in, out)."""

    def __init__(self, draw):
        super().__init__()
        self.first, self.last = (nn.Parameter(torch.empty(8, *s)) for s in ((16, 64), (64, 16)))
        draw(self.first)
        draw(self.last)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        hidden = torch.relu(torch.bmm(x.expand(8, -1, -1), self.first))
        return self.head(torch.bmm(hidden, self.last).mean(0))


def each_of(stack):
    for place in range(len(stack)):
        nn.init.kaiming_normal_(stack[place].T, **HE)


def by_hand(axis):
    return lambda weight: nn.init.normal_(weight, std=weight.shape[axis] ** -0.5)


def deep(draw, act, depth, norm=False):
    """Square layers, each with its activation, all drawn alike."""

    def factory():
        parts = []
        for _ in range(depth):
            layer = nn.Linear(16, 16)
            draw(layer.weight)
            parts += [layer, *([nn.LayerNorm(16)] if norm else []), act()]
        return nn.Sequential(*parts, nn.Linear(16, 4))

    return factory


def diagnosed(factory, batch=BATCH):
    torch.manual_seed(0)
    return diagnose(factory, batch, steps=1)


FANS = {
    "kaiming": lambda: Stored(lambda w: nn.init.kaiming_normal_(w, **HE)),
    "torch's own rule": lambda: Stored(lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5))),
    "a stack": lambda: Experts(lambda w: nn.init.kaiming_normal_(w, **HE)),
    "by hand": lambda: Stored(by_hand(1)),
    "a view": lambda: drawn_as(lambda w: nn.init.kaiming_normal_(w.t(), **HE)),
    "a transposed convolution": lambda: transposed(nn.init.kaiming_normal_),
}
SOUND_FANS = {
    "the transposed weight": lambda: Stored(lambda w: nn.init.kaiming_normal_(w.T, **HE)),
    "each of a stack": lambda: Experts(each_of),
    "by hand": lambda: Stored(by_hand(0)),
    "one σ for all": lambda: Stored(lambda w: nn.init.normal_(w, std=1 / 16)),
    "scaled afterwards": lambda: Stored(lambda w: nn.init.kaiming_normal_(w, **HE).data.mul_(0.3)),
    "fan-out on purpose": lambda: drawn_as(
        lambda w: nn.init.kaiming_normal_(w, mode="fan_out", **HE)
    ),
    "Xavier": lambda: drawn_as(lambda w: nn.init.xavier_uniform_(w.t())),
    "torch's default": lambda: transposed(None),
    "fan-out by hand, of kernels": lambda: convolved(),
}


def convolved():
    """Squeeze and excite, as a published initialiser draws both: by what they write."""
    layers = nn.Conv2d(64, 8, 1), nn.Conv2d(8, 64, 1)
    for layer in layers:
        nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.out_channels))
    squeeze, excite = layers
    return nn.Sequential(nn.Unflatten(1, (64, 2, 2)), squeeze, nn.ReLU(), excite, nn.Flatten(),
                         nn.Linear(256, 4))  # fmt: skip


def drawn_as(draw):
    model = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 4))
    draw(model[0].weight)
    return model


def transposed(draw):
    """A layer that torch takes for one that reads 4 channels and writes 64."""
    layer = nn.ConvTranspose2d(64, 4, 4, 2)
    if draw:
        draw(layer.weight, **HE)
    return nn.Sequential(nn.Unflatten(1, (64, 2, 2)), layer, nn.ReLU(), nn.Flatten(),
                         nn.Linear(4 * 36, 4))  # fmt: skip


def batch_of(name):
    return labelled(256, 4) if "conv" in name or "default" in name or "kernels" in name else BATCH


@pytest.mark.parametrize("name", FANS)
def test_a_fan_of_another_shape(name):
    found = named(diagnosed(FANS[name], batch_of(name)), "IC131")

    assert found.severity == "warning"
    assert max(found.measured, 1 / found.measured) > math.sqrt(2)
    assert ".py:" in found.cause


@pytest.mark.parametrize("name", SOUND_FANS)
def test_sound_fans_pass(name):
    assert "IC131" not in told(diagnosed(SOUND_FANS[name], batch_of(name)))


def test_a_view_of_one_of_torchs_layers_shows_without_a_batch():
    assert ids(construction(FANS["a view"])) == ["IC131"]
    assert construction(SOUND_FANS["Xavier"]).findings == ()


def test_it_takes_back_what_a_wrong_fan_did():
    found = diagnosed(FANS["kaiming"])
    assert "IC131" not in told(found.try_remedy())


def test_of_values_alone_only_weights_that_are_stored_in_out():
    torch.manual_seed(0)
    assert "IC131" in told(diagnose(Stored(by_hand(1)), BATCH))
    assert "IC131" not in told(diagnose(Stored(by_hand(0)), BATCH))
    assert "IC131" not in told(diagnose(drawn_as(by_hand(0)), BATCH))


def test_a_normalisation_takes_it_back():
    class Normed(Stored):
        def forward(self, x):
            for weight in self.weights:
                x = torch.relu(nn.functional.layer_norm(x @ weight, weight.shape[1:]))
            return self.head(x)

    draw = FANS["kaiming"]
    assert "IC131" in told(diagnosed(draw))
    assert "IC131" not in told(diagnosed(lambda: Normed(lambda w: nn.init.kaiming_normal_(w))))


def test_a_gain_that_depth_makes_matter_is_an_error_and_the_cause():
    found = diagnosed(deep(nn.init.xavier_uniform_, nn.ReLU, 40))

    first = found.findings[0]
    assert (first.id, first.severity) == ("IC132", "error")
    assert {line.split()[1] for line in first.consequences} >= {"IC402"}
    assert "xavier_uniform_(gain=1) at test_wrong_scale.py:" in first.cause
    assert found.try_remedy().verdict == "pass"


def tanh_gain(weight):
    nn.init.xavier_normal_(weight, gain=nn.init.calculate_gain("tanh"))


GAINS = {
    "Xavier before ReLU": (nn.init.xavier_uniform_, nn.ReLU, "info"),
    "tanh before ReLU": (tanh_gain, nn.ReLU, "warning"),
    "ReLU before tanh": (lambda w: nn.init.kaiming_normal_(w, **HE), nn.Tanh, "info"),
    "sigmoid before ReLU": (
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="sigmoid"),
        nn.ReLU,
        "warning",
    ),
}
SOUND_GAINS = {
    "He before ReLU": (lambda w: nn.init.kaiming_normal_(w, **HE), nn.ReLU),
    "the default before ReLU": (nn.init.kaiming_normal_, nn.ReLU),
    "He before GELU": (lambda w: nn.init.kaiming_normal_(w, **HE), nn.GELU),
    "a=√5": (lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5)), nn.ReLU),
    "Xavier before tanh": (nn.init.xavier_uniform_, nn.Tanh),
    "tanh before tanh": (tanh_gain, nn.Tanh),
    "a leak of 0.2": (lambda w: nn.init.kaiming_normal_(w, a=0.2), lambda: nn.LeakyReLU(0.2)),
    "LeCun before SELU": (lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"), nn.SELU),
    "torch's default": (lambda w: None, nn.ReLU),
    "He before nothing": (lambda w: nn.init.kaiming_normal_(w, **HE), nn.Identity),
}


@pytest.mark.parametrize("name", GAINS)
def test_a_gain_of_another_nonlinearity(name):
    draw, act, severity = GAINS[name]
    assert named(diagnosed(deep(draw, act, 3)), "IC132").severity == severity


@pytest.mark.parametrize("name", SOUND_GAINS)
def test_sound_gains_pass(name):
    assert "IC132" not in told(diagnosed(deep(*SOUND_GAINS[name], 3)))


def test_no_gain_matters_before_a_normalisation():
    assert "IC132" not in told(diagnosed(deep(tanh_gain, nn.ReLU, 3, norm=True)))


GROUPED = {
    "the mode": (lambda w: nn.init.kaiming_normal_(w, mode="fan_out", **HE), True),
    "a σ by hand": (lambda w: nn.init.normal_(w, std=math.sqrt(2 / (32 * 9))), True),
    "another mode": (lambda w: nn.init.kaiming_normal_(w, **HE), False),
    "another σ": (lambda w: nn.init.normal_(w, std=0.09), False),
}


@pytest.mark.parametrize("name", GROUPED)
def test_groups_are_judged_by_what_the_initialiser_was_told(name):
    draw, is_wrong = GROUPED[name]

    def factory():
        layer = nn.Conv2d(32, 32, 3, groups=32)
        draw(layer.weight)
        return nn.Sequential(nn.Unflatten(1, (32, 4, 4)), layer, nn.ReLU(), nn.Flatten(),
                             nn.Linear(32 * 4, 4))  # fmt: skip

    assert ("IC106" in told(diagnosed(factory, labelled(512, 4)))) == is_wrong
