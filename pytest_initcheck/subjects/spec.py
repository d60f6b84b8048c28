"""What is typed to name a model and its data; nothing of torch is imported for it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

KINDS = {
    "float": "float32", "float32": "float32", "float64": "float64", "double": "float64",
    "half": "float16", "float16": "float16", "bfloat16": "bfloat16", "int": "int64",
    "long": "int64", "int64": "int64", "int32": "int32", "uint8": "uint8", "byte": "uint8",
    "bool": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class InputSpec:
    """One input: its shape, its name where it is handed over by name, its kind of numbers."""

    shape: tuple[int, ...]
    name: str = ""
    kind: str = ""

    def __str__(self) -> str:
        name = f"{self.name}=" if self.name else ""
        return f"{name}{','.join(map(str, self.shape))}{f':{self.kind}' if self.kind else ''}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be diagnosed: all that can be typed about a model, its data and its loss."""

    target: str
    args: tuple[str, ...] = ()
    inputs: tuple[InputSpec, ...] = ()
    batch: str = ""
    vocab: int | None = None
    classes: int | None = None
    regression: int | None = None
    loss: str = ""
    forward: str = ""
    dtype: str = "float32"
    device: str = "cpu"
    seed: int = 0


def input_spec(text: str) -> InputSpec:
    """ "x=8,3,64,64", "ids=8,32:int64" or "8,3,64,64" as an input.

    Raises:
        ValueError: it is none; the message says what to pass.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        name, rest = "", text
    shape, colon, kind = rest.partition(":")
    if colon and kind not in KINDS:
        raise ValueError(f"{text!r}: {kind!r} is no kind of numbers; pass {', '.join(KINDS)}")
    if equals and not name.isidentifier():
        raise ValueError(f"{text!r}: {name!r} is no name of an argument; pass NAME=8,3,64,64")
    try:
        sizes = tuple(int(part) for part in shape.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ValueError(f"{text!r} is not a shape; pass sizes such as 8,3,64,64")
    return InputSpec(sizes, name, KINDS.get(kind, ""))


def arguments(texts: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a factory: "vit_tiny num_classes=10 norm=None" by place and by name."""
    placed: list[Any] = []
    named: dict[str, Any] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if equals and name.isidentifier():
            named[name] = _value(rest)
        else:
            placed.append(_value(text))
    return placed, named


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
