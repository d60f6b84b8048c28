"""Buffers that cannot be meant as they are, and those that can."""

from __future__ import annotations

import math

import pytest
import torch
from support.starts import ids, labelled, named, told
from torch import nn

from pytest_initcheck import construction, diagnose

BATCH = labelled(8, 4)


class Held(nn.Module):
    """A sound network beside a buffer."""

    def __init__(self, name, value):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        self.register_buffer(name, value)

    def forward(self, x):
        return self.net(x)


def inverse(count=4, base=1e4):
    return 1 / base ** (torch.arange(count) / count)


def sinusoid(positions=16, count=4):
    return torch.outer(torch.arange(positions).float(), inverse(count)).sin()


def hidden(diagonal):
    return torch.full((6, 6), -math.inf).triu(diagonal)


def seen(dtype=torch.bool):
    return torch.ones(1, 1, 6, 6, dtype=dtype).tril()


SOUND = [
    ("inv_freq", lambda: inverse()),
    ("inv_freq", lambda: torch.ones(1)),
    ("sin_cached", lambda: sinusoid()),
    ("pe", lambda: sinusoid()[None]),
    ("bias", lambda: seen()),
    ("bias", lambda: seen(torch.float)),
    ("bias", lambda: torch.zeros(1, 6, 6)),
    ("causal_mask", lambda: ~seen()),
    ("attn_mask", lambda: hidden(1)),
    ("mask", lambda: torch.eye(6)),
    ("window_mask", lambda: torch.ones(6, 6).tril().triu(-2)),
    ("mask", lambda: torch.ones(6, dtype=torch.bool)),
    ("attn_mask", lambda: torch.zeros(4, 6, 6)),
    ("cache", lambda: torch.zeros(6, 6)),
    ("frequency_count", lambda: torch.zeros(4, dtype=torch.long)),
]
BROKEN = [
    ("inv_freq", lambda: torch.zeros(4), "IC134", "warning"),
    ("inv_freq", lambda: torch.full((4,), math.inf), "IC134", "error"),
    ("cos_cached", lambda: torch.full((16, 4), math.nan), "IC134", "error"),
    ("pos_embed", lambda: torch.ones(16, 4), "IC134", "warning"),
    ("anything", lambda: torch.full((4,), math.nan), "IC134", "error"),
    ("causal_mask", lambda: torch.ones(6, 6, dtype=torch.bool), "IC135", "warning"),
    ("tril", lambda: torch.zeros(6, 6), "IC135", "warning"),
    ("bias", lambda: torch.ones(1, 1, 6, 6, dtype=torch.bool), "IC135", "warning"),
    ("mask", lambda: torch.ones(6, 6, dtype=torch.bool).triu(), "IC135", "warning"),
    ("mask", lambda: torch.ones(6, 6).tril(-1), "IC135", "warning"),
    ("attn_mask", lambda: hidden(0), "IC135", "warning"),
    ("attn_mask", lambda: hidden(1).t(), "IC135", "warning"),
]


@pytest.mark.parametrize(("name", "value"), SOUND)
def test_sound_buffers_pass(name, value):
    assert construction(lambda: Held(name, value())).findings == ()


@pytest.mark.parametrize(("name", "value", "id", "severity"), BROKEN)
def test_a_buffer_that_cannot_be_meant_so(name, value, id, severity):
    found = named(construction(lambda: Held(name, value())), id)

    assert found.severity == severity
    assert f"{name} (" in found.cause
    assert "test_odd_buffers.py:" in found.cause


def test_a_model_that_stood_before_is_looked_at_too():
    assert ids(diagnose(Held("inv_freq", torch.zeros(4)), BATCH)) == ["IC134"]
    assert diagnose(Held("inv_freq", inverse()), BATCH).verdict == "pass"


def normed(change):
    """A network with a batch normalisation that something is done to."""

    def factory():
        model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
        with torch.no_grad():
            change(model)
        return model

    return factory


def drawn_over(model):
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.normal_(std=0.02)


def dry_run(model):
    with torch.enable_grad():
        model(torch.randn(8, 8))


def test_statistics_of_data_that_nobody_has_seen():
    found = named(construction(normed(lambda model: model[1].running_mean.fill_(0.5))), "IC133")
    assert (found.severity, found.layer) == ("warning", "1")
    assert "set by fill_(value=0.5) at test_odd_buffers.py:" in found.cause
    assert named(construction(normed(drawn_over)), "IC133").severity == "error"
    zero = normed(lambda model: model[1].running_var.zero_())
    assert "IC133" in told(diagnose(zero(), BATCH))


@pytest.mark.parametrize("change", [lambda model: None, dry_run])
def test_statistics_at_rest_or_of_a_batch_pass(change):
    assert construction(normed(change)).findings == ()


def test_statistics_of_a_checkpoint_pass():
    trained = normed(dry_run)().state_dict()
    trained["1.num_batches_tracked"].zero_()

    assert construction(normed(lambda model: model.load_state_dict(trained))).findings == ()
    assert diagnose(normed(lambda model: model.load_state_dict(trained))(), BATCH).verdict == "pass"


def test_a_table_that_nothing_wrote_to_is_an_error_and_a_cache_is_not():
    def empty(name):
        return lambda: Held(name, torch.empty(4))

    assert named(construction(empty("inv_freq")), "IC111").severity == "error"
    assert named(construction(empty("cache")), "IC111").severity == "warning"
