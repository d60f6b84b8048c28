"""Which call wrote to a tensor, and from which line of whose code: read off the stack."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.evidence.law import SCALED, Law
from pytest_initcheck.ledger.storages import key_of

_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
# What stands between a call and the dispatcher without being anybody's decision.
_PLUMBING = tuple(
    _TORCH + part.replace("/", os.sep)
    for part in (
        "_compile.py",
        "_dynamo/",
        "_ops.py",
        "_tensor.py",
        "_jit_internal.py",
        "overrides.py",
        "utils/_contextlib.py",
        "utils/_device.py",
        "utils/_python_dispatch.py",
    )
)
_MODULES = tuple(_TORCH + f"nn{os.sep}{part}{os.sep}" for part in ("modules", "utils"))
_BASE = _TORCH + os.sep.join(("nn", "modules", "module.py"))
_INIT = _TORCH + os.sep.join(("nn", "init.py"))
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
Arguments = tuple[tuple[str, str], ...]
_SIMPLE = (bool, int, float, str)
# Larger squares than this are whole numbers by accident.
_ROOTS, _ROUNDING = 100, 1e-12
# They say where and as what a tensor is made, not which values it gets.
_NOT_VALUES = frozenset({"dtype", "device", "layout", "pin_memory", "requires_grad", "generator"})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who wrote: ``frame`` tells one call of an initialiser from the next; ``law`` is the one of
    torch.nn.init that drew."""

    call: str
    arguments: Arguments
    file: str
    line: int
    function: str
    is_default: bool
    frame: int
    law: Law | None


def caller(tensor: Tensor, operator: str, own: Callable[[], Arguments]) -> Caller:
    """Who is writing to ``tensor`` now.

    The initialiser is the outermost of the functions in a row that were handed this very memory:
    ``kaiming_uniform_`` above ``uniform_``, and a user's own ``scaled_(weight, depth)`` above
    both. Where nobody was, it is the operator itself with its ``own`` arguments.
    """
    key = key_of(tensor)
    frame: FrameType | None = sys._getframe(1)
    named: FrameType | None = None
    law: Law | None = None
    while frame is not None:
        code = frame.f_code
        if not _is_plumbing(code.co_filename):
            if not _takes(frame, code, key):
                break
            if code.co_name in SCALED and code.co_filename == _INIT:
                law = _law(frame)
            # A lambda or a comprehension has no name to tell.
            named = named if named and code.co_name.startswith("<") else frame
        frame = frame.f_back
    if named is not None and not named.f_code.co_name.startswith("<"):
        call, arguments = named.f_code.co_name, _arguments(named)
    else:
        call, arguments = operator, own()
    is_default = False
    while frame is not None and frame.f_code.co_filename.startswith(_TORCH):
        is_default = is_default or _is_layer(frame.f_code.co_filename)
        if named is None and not _is_plumbing(frame.f_code.co_filename):
            call = frame.f_code.co_name if frame.f_code.co_filename == _BASE else call
        frame = frame.f_back
    return Caller(
        call=call,
        arguments=arguments,
        file=frame.f_code.co_filename if frame else "",
        line=(frame.f_lineno or 0) if frame else 0,
        function=frame.f_code.co_name if frame else "",
        is_default=is_default,
        frame=id(named) if named is not None else 0,
        law=law,
    )


def _law(frame: FrameType) -> Law:
    values: dict[str, Any] = {n: frame.f_locals.get(n) for n in _names(frame.f_code)}
    shape = tuple(values.pop("tensor").shape)
    plain = {name: value for name, value in values.items() if isinstance(value, _SIMPLE)}
    return Law(call=frame.f_code.co_name, shape=shape, values=plain)


@functools.lru_cache(maxsize=4096)
def _is_plumbing(file: str) -> bool:
    return file.startswith((*_PLUMBING, _OWN))


@functools.lru_cache(maxsize=4096)
def _is_layer(file: str) -> bool:
    return file.startswith(_MODULES) and file != _BASE


@functools.lru_cache(maxsize=4096)
def _names(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _takes(frame: FrameType, code: CodeType, key: int) -> bool:
    if not code.co_argcount:
        return False
    values = frame.f_locals
    for name in _names(code):
        value = values.get(name)
        if isinstance(value, Tensor) and key_of(value) == key:
            return True
    return False


def _arguments(frame: FrameType) -> Arguments:
    values = frame.f_locals
    return plain((name, values.get(name)) for name in _names(frame.f_code))


def plain(values: Any) -> Arguments:
    """Numbers and words among arguments, as text of four digits."""
    return tuple(
        (name, shown(value))
        for name, value in values
        if isinstance(value, _SIMPLE) and name not in _NOT_VALUES
    )


def shown(value: object) -> str:
    """A number with four digits, or as a root where it is one of a whole number; or a word."""
    if not isinstance(value, float):
        return str(value)
    square = value * value
    is_root = 1 < square < _ROOTS and not value.is_integer() and value > 0
    if is_root and abs(square - round(square)) < _ROUNDING:
        return f"√{round(square)}"
    return f"{value:.4g}"
