"""Freshly initialised models of torchvision, a few families of them, raise nothing and stay as
they are; ``benchmarks/zoo.py`` does the same with all of them and with two more libraries."""

from __future__ import annotations

import pytest
import torch
from support.state import changed, fingerprint
from zoos import opened

from pytest_initcheck import diagnose

# Each with the side of its images, the smallest that the family accepts.
MODELS = {
    "efficientnet_b0": 32,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_x_400mf": 32,
    "resnet18": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "swin_t": 32,
}
# What takes longest and is left out by "not slow"; the rest has every kind of layer but attention.
SLOW = ("efficientnet_b0", "mnasnet0_5", "regnet_x_400mf", "swin_t")


def models():
    for name, side in MODELS.items():
        yield pytest.param(name, side, marks=[pytest.mark.slow] if name in SLOW else [])


@pytest.mark.parametrize(("name", "side"), [*models()])
def test_a_healthy_model_passes_and_stays_as_it_is(name, side):
    torch.manual_seed(0)
    zoo = opened("torchvision")
    model = zoo.build(name, side)
    batch = zoo.batch(model, name, side)
    before = fingerprint(model, batch)
    diagnosis = diagnose(model, batch)
    assert changed(before, fingerprint(model, batch)) == []
    assert diagnosis.verdict == "pass", str(diagnosis)
