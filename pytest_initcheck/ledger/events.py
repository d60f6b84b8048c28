"""What was seen of one call, kept small while a model is built: words are made of it afterwards."""

from __future__ import annotations

from typing import Any

from pytest_initcheck.evidence.law import Law
from pytest_initcheck.evidence.write import Write

# Numbers and words: what is told of arguments.
SIMPLE = frozenset({bool, int, float, str})
# They say where and as what a tensor is made, not which values it gets.
_NOT_VALUES = frozenset({"dtype", "device", "layout", "pin_memory", "requires_grad", "generator"})
# Larger squares than this are whole numbers by accident.
_ROOTS, _ROUNDING = 100, 1e-12


class WriteEvent:
    """One write. ``arguments`` are pairs of name and value, of which some are told; ``inner`` is
    what torch did for it, a call with such pairs, and ``steps`` the operators after it; ``frame``
    tells one call of an initialiser from the next, ``goes_on`` says that it is the one that wrote
    last; the rest is as in `Write`."""

    __slots__ = (
        "arguments", "call", "code", "discrete", "draws", "frame", "goes_on", "inner", "is_default",
        "law", "line", "order", "replaces", "share", "steps",
    )  # fmt: skip

    def __init__(self, call: str, arguments: Any, order: int) -> None:
        self.call = call
        self.arguments = arguments
        self.order = order
        self.inner = call, arguments
        self.steps: tuple[str, ...] = ()
        self.code: Any = None
        self.line = 0
        self.frame = 0
        self.law: Law | None = None
        self.share = 1.0
        self.is_default = self.draws = self.discrete = self.goes_on = False
        self.replaces = True

    def write(self) -> Write:
        """The same in words."""
        return Write(
            call=self.call,
            arguments=_told(self.arguments),
            inner=self.inner[0] if self.inner[0] != self.call else "",
            inner_arguments=_told(self.inner[1]) if self.inner[0] != self.call else (),
            steps=self.steps,
            file=self.code.co_filename if self.code else "",
            line=self.line,
            function=self.code.co_name if self.code else "",
            share=self.share,
            replaces=self.replaces,
            draws=self.draws,
            discrete=self.discrete,
            is_default=self.is_default,
            order=self.order,
            law=self.law,
        )


def _told(arguments: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, argument_text(value))
        for name, value in arguments
        if type(value) in SIMPLE and name not in _NOT_VALUES
    )


def argument_text(value: object) -> str:
    """A number with four digits, or as a root where it is one of a whole number; or a word."""
    if not isinstance(value, float):
        return str(value)
    square = value * value
    is_root = 1 < square < _ROOTS and not value.is_integer() and value > 0
    if is_root and abs(square - round(square)) < _ROUNDING:
        return f"√{round(square)}"
    return f"{value:.4g}"
