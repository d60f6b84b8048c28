"""What a model takes, from its signature, its first layers, and a forward on the meta device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.tree import moved
from pytest_initcheck.inputs.signature import forward_of
from pytest_initcheck.subjects.spec import InputSpec

# Sides of images and lengths of sequences that models are made for, small ones first.
_SIDES = (32, 64, 28, 96, 128, 224, 256, 299, 384, 512)
_LENGTHS = (16, 32, 64, 128, 512)
_BATCH, _BATCH_OF_IMAGES = 32, 8


@dataclass(frozen=True)
class Guess:
    """Inputs that a model may take, and what says so."""

    inputs: tuple[InputSpec, ...]
    why: str


def guesses(model: nn.Module) -> Iterator[Guess]:
    """What may fit, the likeliest first."""
    shape = _of_timm(model)
    if shape is not None:
        yield Guess((InputSpec((_BATCH_OF_IMAGES, *shape)),), "the model's default_cfg")
    asked = forward_of(model)
    names = asked.names[: max(asked.required, 1)] if asked is not None else ()
    for spec, why in _of_layers(model):
        several = tuple(InputSpec(spec.shape, name, spec.kind) for name in names)
        yield Guess(several if len(several) > 1 else (spec,), why)


def _of_timm(model: nn.Module) -> tuple[int, ...] | None:
    config = getattr(model, "default_cfg", None)
    size = config.get("input_size") if isinstance(config, dict) else None
    return tuple(size) if size else None


def _of_layers(model: nn.Module) -> Iterator[tuple[InputSpec, str]]:
    for name, layer in model.named_modules():
        kind_of = type(layer).__name__
        why = f"{name or 'the model'}, {'an' if kind_of[0] in 'AEIOU' else 'a'} {kind_of}"
        shapes = list(_shapes(layer))
        kind = "int64" if isinstance(layer, nn.Embedding) else ""
        # A lazy layer does not say what it takes.
        for shape in shapes if all(map(min, shapes)) else ():
            yield InputSpec(shape, "", kind), why
        if shapes:
            return


def _shapes(layer: nn.Module) -> Iterator[tuple[int, ...]]:
    """Shapes of a batch for the first layer that says what it takes."""
    if isinstance(layer, nn.Embedding):
        yield from ((_BATCH_OF_IMAGES, length) for length in _LENGTHS)
    elif isinstance(layer, nn.Conv2d):
        yield from ((_BATCH_OF_IMAGES, layer.in_channels, side, side) for side in _SIDES)
    elif isinstance(layer, nn.Conv1d):
        yield from ((_BATCH, layer.in_channels, length) for length in (64, 128, 1024, 16000))
    elif isinstance(layer, nn.Conv3d):
        yield from ((2, layer.in_channels, depth, s, s) for depth, s in ((8, 32), (16, 112)))
    elif isinstance(layer, nn.RNNBase):
        yield (_BATCH, 16, layer.input_size)
    elif isinstance(layer, nn.TransformerEncoderLayer):
        yield (_BATCH, 16, layer.linear1.in_features)
    elif isinstance(layer, nn.Linear):
        yield (_BATCH, layer.in_features)
        yield (_BATCH, 16, layer.in_features)


def vocabulary(model: nn.Module) -> int | None:
    """How many token ids the smallest table of embeddings has; that of positions aside."""
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    return tables[0].num_embeddings if tables else None


def output_of(model: nn.Module, batch: Any) -> Any:
    """What a model makes of a batch, on the meta device where that can be, else as it is.

    Whatever the model raises is raised.
    """
    try:
        return on_meta(model, batch)
    except Exception:
        # Data that decide the way, and code that makes tensors on a device of its own.
        with preserved(model), torch.no_grad():
            return _called(model, batch)


def fitting(model: nn.Module, found: list[tuple[Guess, Any]]) -> tuple[Guess, Any] | None:
    """The first guess whose data the model takes: on the meta device, else as they are."""
    for run in (on_meta, output_of):
        for guess, batch in found:
            try:
                run(model, batch)
            except Exception:
                continue
            return guess, batch
    return None


def on_meta(model: nn.Module, batch: Any) -> Any:
    """The output for data of these shapes, without computing anything."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    nowhere = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    given, options = _split(moved(batch, torch.device("meta")))
    with preserved(model), torch.no_grad(), torch.device("meta"):
        return torch.func.functional_call(model, nowhere, given, options)


def _called(model: nn.Module, batch: Any) -> Any:
    given, options = _split(batch)
    return model(*given, **options)


def _split(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch) if isinstance(batch, tuple) else (batch,)), {}
