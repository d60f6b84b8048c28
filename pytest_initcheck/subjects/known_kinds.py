"""Batches for models that say themselves what they take: transformers, torchvision's detectors."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.inputs.signature import forward_of
from pytest_initcheck.subjects.data import Source
from pytest_initcheck.subjects.spec import InputSpec

_TOKENS = (8, 16)
_OF_TEXT = r"CausalLM|LMHead|MaskedLM|ConditionalGeneration|PreTraining|Double"
_OF_TOKENS, _OF_SAMPLES = "TokenClassification", r"(Sequence|Image|Audio)Classification"


def batch_of_kind(model: nn.Module, source: Source) -> tuple[Any, str] | None:
    """A batch for a model of a known kind, and what says so; None for any other."""
    if type(model).__module__.startswith("torchvision.models.detection"):
        return _detection(model, source), "a detector of torchvision"
    config = getattr(model, "config", None)
    name = getattr(model, "main_input_name", None)
    if config is None or not isinstance(name, str) or not hasattr(config, "to_dict"):
        return None
    return _of_config(model, config, name, source), "the model's config"


def _of_config(model: nn.Module, config: Any, name: str, source: Source) -> dict[str, Tensor]:
    vocab = getattr(config, "vocab_size", None)
    source = Source(source.generator, source.dtype, vocab)
    spec = _main_input(config, name)
    batch = {name: source.drawn(spec)}
    asked = forward_of(model)
    names = asked.names if asked is not None else ()
    kind, classes = type(model).__name__, getattr(config, "num_labels", 2)
    count = spec.shape[0]
    if "labels" in names and re.search(_OF_TEXT, kind):
        batch["labels"] = source.drawn(InputSpec(_TOKENS, "labels", "int64"))
    elif "labels" in names and re.search(_OF_TOKENS, kind):
        batch["labels"] = torch.randint(0, classes, _TOKENS, generator=source.generator)
    elif "labels" in names and re.search(_OF_SAMPLES, kind):
        batch["labels"] = torch.randint(0, classes, (count,), generator=source.generator)
    elif getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in names:
        batch["decoder_input_ids"] = source.drawn(InputSpec(_TOKENS, "decoder", "int64"))
    return batch


def _main_input(config: Any, name: str) -> InputSpec:
    if name == "pixel_values":
        side = getattr(config, "image_size", 224)
        side = side if isinstance(side, int) else side[0]
        return InputSpec((4, getattr(config, "num_channels", 3), side, side), name, "")
    if name == "input_values":
        return InputSpec((2, 16000), name, "float32")
    if name == "input_features":
        return InputSpec((2, getattr(config, "num_mel_bins", 80), 3000), name, "float32")
    longest = getattr(config, "max_position_embeddings", None) or _TOKENS[1]
    return InputSpec((_TOKENS[0], min(_TOKENS[1], longest)), name, "int64")


def _detection(model: nn.Module, source: Source) -> Any:
    side, boxes = 128, 3
    draw = source.generator
    images = [torch.rand(3, side, side, generator=draw).to(source.dtype) for _ in range(2)]
    corner = torch.rand(2, boxes, 2, generator=draw) * side / 2
    size = torch.rand(2, boxes, 2, generator=draw) * side / 4 + side / 8
    places = torch.cat([corner, corner + size], 2)
    heads = getattr(model, "roi_heads", None)
    targets = [{"boxes": place, "labels": torch.ones(boxes).long()} for place in places]
    for target in targets:
        if getattr(heads, "mask_head", None) is not None:
            target["masks"] = torch.ones(boxes, side, side, dtype=torch.uint8)
        if getattr(heads, "keypoint_head", None) is not None:
            middle = target["boxes"].reshape(boxes, 2, 2).mean(1, keepdim=True)
            shown = torch.cat([middle, torch.ones(boxes, 1, 1)], 2)
            target["keypoints"] = shown.expand(boxes, 17, 3).clone()
    return images, targets
