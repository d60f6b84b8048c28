"""What trained models take the validation samples for, pooled over the seeds."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pytest_initcheck.records import Confusion, Mistaken
from pytest_initcheck.training.loop import EVALUATED, class_dimension
from pytest_initcheck.training.prepare import Prepared

_MOST_CLASSES = 32
_MOST_MISTAKEN = 8
_LEAST_WIDTH = 8


@torch.no_grad()
def predicted(prepared: Prepared, model: nn.Module) -> Tensor | None:
    """The class that a model gives each validation sample; None where there are no classes."""
    pair = prepared.validation
    if pair is None or pair.targets.ndim != 1:
        return None
    found = []
    model.eval()
    try:
        for start in range(0, len(pair), EVALUATED):
            outputs = model(pair.rows(slice(start, start + EVALUATED))[0])
            if class_dimension(prepared, outputs) is None or outputs.shape[1] > _MOST_CLASSES:
                return None
            found.append(outputs.argmax(1).cpu())
    finally:
        model.train()
    return torch.cat(found)


def confusion(prepared: Prepared, predictions: Sequence[Tensor | None]) -> Confusion | None:
    """The matrix of all seeds together, with the samples that most of them mistake."""
    known = [one for one in predictions if one is not None]
    if prepared.validation is None or not known:
        return None
    truth, given = prepared.validation.targets.cpu(), torch.stack(known)
    classes = int(max(truth.max(), given.max())) + 1
    pairs = torch.bincount((truth * classes + given).flatten(), minlength=classes**2)
    return Confusion(
        classes=classes,
        counts=tuple(pairs.tolist()),
        mistaken=tuple(_mistaken(prepared.validation.inputs, truth, given, classes)),
    )


def _mistaken(inputs: Tensor, truth: Tensor, given: Tensor, classes: int) -> list[Mistaken]:
    votes = nn.functional.one_hot(given, classes).sum(0)
    votes[torch.arange(len(truth)), truth] = 0
    counts, wrong = votes.max(1)
    places = torch.argsort(counts, descending=True, stable=True)[:_MOST_MISTAKEN].tolist()
    found = []
    for place in places:
        if counts[place] > 0:
            pixels, width = _image(inputs[place])
            found.append(
                Mistaken(
                    place=place,
                    truth=int(truth[place]),
                    predicted=int(wrong[place]),
                    count=int(counts[place]),
                    pixels=pixels,
                    width=width,
                )
            )
    return found


def _image(sample: Tensor) -> tuple[str, int]:
    """The shades of a gray image and its width; nothing for what is none."""
    flat = sample.detach().double().flatten().cpu()
    width = sample.shape[-1] if sample.ndim > 1 else math.isqrt(len(flat))
    is_square = width >= _LEAST_WIDTH and width * width == len(flat)
    if not is_square or not sample.is_floating_point() or float(flat.min()) < 0 or flat.max() > 1:
        return "", 0
    shades = (flat * 255).round().to(torch.uint8).numpy().tobytes()
    return base64.b64encode(shades).decode("ascii"), width
