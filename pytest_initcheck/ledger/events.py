"""What was seen of one call, kept small while a model is built: words are made of it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

from pytest_initcheck.evidence.law import Law
from pytest_initcheck.evidence.write import Write
from pytest_initcheck.ledger.operators import Effect
from pytest_initcheck.ledger.storages import View

# Numbers and words: what is told of arguments.
SIMPLE = frozenset({bool, int, float, str})
# They say where and as what a tensor is made, not which values it gets.
_NOT_VALUES = frozenset({"dtype", "device", "layout", "pin_memory", "requires_grad", "generator"})
# Larger squares than this are whole numbers by accident.
_ROOTS, _ROUNDING = 100, 1e-12
Pairs = Sequence[tuple[str, Any]]


class WriteEvent:
    """One write. ``arguments`` are pairs of name and value, of which some are told; ``inner`` is
    what torch did for it, a call with such pairs, and ``steps`` the operators after it; ``frame``
    tells one call of an initialiser from the next, ``goes_on`` says that it is the one that wrote
    last; the rest is as in `Write`, ``law`` with pairs in place of ``values``.

    What `replay` needs of it: ``does``, what the operator does; ``key``, ``bytes`` and ``trace`` of
    the memory, the ``size`` of what the tensor shows of it, and its ``view`` where that is a part;
    ``reads`` has the numbers of all memories among the arguments, with such sizes; ``is_made``: the
    operator made the memory, which ``is_marked`` where it has no values; ``chosen_by`` are the
    arguments of an operator that writes to elements of their choice."""

    # Most keep these: what is not set takes no time.
    inner: tuple[str, Pairs] = "", ()
    arguments: Pairs | None = None
    steps: tuple[str, ...] = ()
    code: CodeType | None = None
    line = 0
    frame = 0
    # The write whose values it handed on as they were; 0 where it made its own.
    copied = 0
    law: tuple[str, tuple[int, ...], Pairs] | None = None
    share = 1.0
    is_default = draws = discrete = goes_on = False
    replaces = True
    order = key = bytes = size = 0
    does: Effect
    trace: tuple[int, ...] = ()
    view: View | None = None
    reads: Sequence[tuple[int, int]] = ()
    chosen_by: Sequence[Any] = ()
    is_made = is_marked = False

    def __init__(self, call: str) -> None:
        self.call = call

    def write(self) -> Write:
        """The same in words."""
        inner, inner_arguments = self.inner
        is_own = inner not in ("", self.call)
        code = self.code
        return Write(
            call=self.call,
            arguments=_told(self.arguments),
            inner=inner if is_own else "",
            inner_arguments=_told(inner_arguments) if is_own else (),
            steps=self.steps,
            file=code.co_filename if code else "",
            line=self.line,
            function=code.co_name if code else "",
            share=self.share,
            replaces=self.replaces,
            draws=self.draws,
            discrete=self.discrete,
            is_default=self.is_default,
            order=self.order,
            law=self._law() if self.law else None,
        )

    def _law(self) -> Law | None:
        call, shape, values = self.law or ("", (), ())
        return Law(call=call, shape=shape, values=dict(values))


def _told(arguments: Pairs | None) -> tuple[tuple[str, str], ...]:
    if not arguments:
        return ()
    return tuple(
        [
            (name, argument_text(v))
            for name, v in arguments
            if type(v) in SIMPLE and name not in _NOT_VALUES
        ]
    )


def argument_text(value: object) -> str:
    """A number with four digits, or as a root where it is one of a whole number; or a word."""
    return _number_text(value) if isinstance(value, float) else str(value)


@lru_cache(maxsize=1024)
def _number_text(value: float) -> str:
    square = value * value
    is_root = 1 < square < _ROOTS and not value.is_integer() and value > 0
    if is_root and abs(square - round(square)) < _ROUNDING:
        return f"√{round(square)}"
    return f"{value:.4g}"
