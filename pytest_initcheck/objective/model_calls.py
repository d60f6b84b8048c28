"""What a model gives when a step of the caller's own calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from pytest_initcheck.capture.program import main_tensor


@contextmanager
def outputs_of_calls(model: nn.Module) -> Iterator[list[Tensor]]:
    """What the calls of the model give inside, of each its main tensor."""
    made: list[Tensor] = []

    def note(module: nn.Module, received: object, output: object) -> None:
        tensor = main_tensor(output)
        made.extend([] if tensor is None else [tensor])

    handle = model.register_forward_hook(note)
    try:
        yield made
    finally:
        handle.remove()
