"""Models that say in a config what they take, without the library that such models come from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pytest_initcheck.subjects.data import Source
from pytest_initcheck.subjects.known_kinds import batch_of_kind


class Config(SimpleNamespace):
    def to_dict(self):
        return vars(self)


class Plain(nn.Module):
    main_input_name = "input_ids"

    def __init__(self, **config):
        super().__init__()
        self.config = Config(**config)

    def forward(self, input_ids):
        raise NotImplementedError


class WithLabels(Plain):
    def forward(self, input_ids, labels=None):
        raise NotImplementedError


class WithDecoder(Plain):
    def forward(self, input_ids, decoder_input_ids=None):
        raise NotImplementedError


def kind(name, base, main="input_ids"):
    return type(name, (base,), {"main_input_name": main})


def batch_of(made):
    source = Source(torch.Generator().manual_seed(0), torch.float32)
    return batch_of_kind(made, source)


@pytest.mark.parametrize(
    ("name", "main", "config", "shape", "labels"),
    [
        ("TinyForCausalLM", "input_ids", {"vocab_size": 9}, (8, 16), (8, 16)),
        ("TinyForTokenClassification", "input_ids", {"vocab_size": 9}, (8, 16), (8, 16)),
        ("TinyForSequenceClassification", "input_ids", {"vocab_size": 9}, (8, 16), (8,)),
        ("TinyForImageClassification", "pixel_values", {"image_size": 16}, (4, 3, 16, 16), (4,)),
        ("TinyForImageClassification", "pixel_values",
         {"image_size": (16, 16), "num_channels": 1}, (4, 1, 16, 16), (4,)),
        ("TinyForAudioClassification", "input_values", {}, (2, 16000), (2,)),
        ("TinyForAudioClassification", "input_features",
         {"num_mel_bins": 20}, (2, 20, 3000), (2,)),
        ("TinyForCausalLM", "input_ids",
         {"vocab_size": 9, "max_position_embeddings": 5}, (8, 5), (8, 16)),
    ],
)  # fmt: skip
def test_inputs_and_labels_follow_from_config_and_head(name, main, config, shape, labels):
    made = kind(name, WithLabels, main)(num_labels=3, **config)
    batch, why = batch_of(made)
    assert why == "the model's config"
    assert batch[main].shape == shape
    assert batch["labels"].shape == labels
    if main == "input_ids":
        assert 0 <= int(batch[main].min()) <= int(batch[main].max()) < 9
    assert int(batch["labels"].max()) < (9 if "CausalLM" in name else 3)


def test_a_model_without_a_head_gets_inputs_alone():
    batch, _ = batch_of(kind("TinyModel", WithLabels)(vocab_size=9))
    assert list(batch) == ["input_ids"]
    batch, _ = batch_of(kind("TinyModel", Plain)(vocab_size=9))
    assert list(batch) == ["input_ids"]


def test_a_decoder_gets_tokens_of_its_own():
    batch, _ = batch_of(kind("TinyModel", WithDecoder)(vocab_size=9, is_encoder_decoder=True))
    assert list(batch) == ["input_ids", "decoder_input_ids"]
    assert batch["decoder_input_ids"].shape == (8, 16)


def test_other_models_are_of_no_known_kind():
    assert batch_of(nn.Linear(2, 2)) is None
    without = Plain()
    without.config = {"vocab_size": 9}
    assert batch_of(without) is None


@pytest.mark.parametrize("part", ["", "mask_head", "keypoint_head"])
def test_a_detector_gets_boxes_and_what_its_heads_learn_from(part):
    heads = SimpleNamespace(**{part: object()} if part else {})
    made = type("Tiny", (nn.Module,), {"__module__": "torchvision.models.detection.tiny"})()
    made.roi_heads = heads
    (images, targets), why = batch_of(made)
    assert why == "a detector of torchvision"
    assert [image.shape for image in images] == [(3, 128, 128)] * 2
    for target in targets:
        assert bool((target["boxes"][:, 2:] > target["boxes"][:, :2]).all())
        assert ("masks" in target) == (part == "mask_head")
        assert ("keypoints" in target) == (part == "keypoint_head")
    if part == "keypoint_head":
        assert targets[0]["keypoints"].shape == (3, 17, 3)
