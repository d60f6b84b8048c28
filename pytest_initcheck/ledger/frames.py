"""Which call wrote to a tensor, and from which line of whose code: read off the stack."""

from __future__ import annotations

import os
import sysconfig
from enum import IntEnum
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.evidence.law import SCALED
from pytest_initcheck.ledger.events import SIMPLE, Pairs, WriteEvent
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
_MODULES, _UTILS = (_TORCH + f"nn{os.sep}{part}{os.sep}" for part in ("modules", "utils"))
_BASE = _TORCH + os.sep.join(("nn", "modules", "module.py"))
_INIT = _TORCH + os.sep.join(("nn", "init.py"))
# Python's own modules, and what lends newer ones to older versions of it, decide nothing.
_PYTHON = sysconfig.get_paths()["stdlib"] + os.sep
_LENT, _INSTALLED = f"{os.sep}typing_extensions.py", ("site-packages", "dist-packages")
# Of this package only the sound starts of `testing` build models.
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STARTS = _OWN + "testing" + os.sep


class _Home(IntEnum):
    """Whose code a function is."""

    PLUMBING = 0
    INIT = 1
    LAYER = 2
    UTILITY = 3
    BASE = 4
    TORCH = 5
    USER = 6


def _home(file: str) -> _Home:
    if file.startswith((*_PLUMBING, _OWN)) and not file.startswith(_STARTS):
        return _Home.PLUMBING
    if file in (_INIT, _BASE):
        return _Home.INIT if file == _INIT else _Home.BASE
    if file.startswith((_MODULES, _UTILS)):
        return _Home.LAYER if file.startswith(_MODULES) else _Home.UTILITY
    return _Home.TORCH if file.startswith(_TORCH) or _is_pythons(file) else _Home.USER


def _is_pythons(file: str) -> bool:
    if file.startswith(_PYTHON):
        return file[len(_PYTHON) :].partition(os.sep)[0] not in _INSTALLED
    return file.endswith(_LENT) or file.startswith("<frozen ")


_PLUMBED, _INITIALISER, _LAYER = _Home.PLUMBING, _Home.INIT, _Home.LAYER
_UTILITY, _IN_BASE, _USER = _Home.UTILITY, _Home.BASE, _Home.USER
# By number, since code is hashed by all that is in it; it is held, so that no number comes again.
_known: dict[int, tuple[_Home, tuple[str, ...], CodeType]] = {}


def _of(code: CodeType) -> tuple[_Home, tuple[str, ...], CodeType]:
    """Whose code it is, and the names of its arguments."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    found = _known[id(code)] = _home(code.co_filename), names, code
    return found


def note_caller(event: WriteEvent, tensor: Tensor, frame: FrameType | None) -> FrameType | None:
    """Who is writing now, from ``frame`` on, to a tensor and thus to the memory of the event's key.

    Returns the frame of the initialiser, None where there is none.

    The initialiser is the outermost of the functions in a row that were handed this very memory:
    ``kaiming_uniform_`` above ``uniform_``, and a user's own ``scaled_(weight, depth)`` above
    both. Where nobody was, it is the operator itself, as the event has it already.
    """
    call, frame = _named(event, tensor, frame)
    while frame is not None:
        code = frame.f_code
        home = (_known.get(id(code)) or _of(code))[0]
        if home is _USER:
            event.code, event.line = code, frame.f_lineno or 0
            break
        if home is _LAYER or home is _UTILITY:
            event.is_default = True
        elif home is _IN_BASE and call is None and not code.co_name.startswith("_"):
            event.call = code.co_name
        frame = frame.f_back
    return call


def _named(
    event: WriteEvent, tensor: Tensor, frame: FrameType | None
) -> tuple[FrameType | None, FrameType | None]:
    """Give the event the name and arguments of an initialiser; the last of the frames in a row that
    were handed the memory, and the first that was not."""
    call: FrameType | None = None
    # Of the frames in the row, those whose arguments are told.
    outer: _Found | None = None
    inner: _Found | None = None
    while frame is not None:
        code = frame.f_code
        home, names, _ = _known.get(id(code)) or _of(code)
        if home is not _PLUMBED:
            # A layer initialises what it holds, not what it is handed.
            if not names or home is _LAYER:
                break
            values = frame.f_locals
            if values.get(names[0]) is not tensor and not _holds(values, names, event.key):
                break
            call = frame
            name = code.co_name
            # A lambda or a comprehension has no name to tell.
            if not name.startswith("<"):
                outer = name, names, values
                if home is _INITIALISER and not name.startswith("_"):
                    inner = outer
        frame = frame.f_back
    if call is not None:
        event.frame = id(call)
    if outer is not None:
        _tell(event, outer, inner)
    return call, frame


_Found = tuple[str, tuple[str, ...], dict[str, Any]]


def _tell(event: WriteEvent, outer: _Found, inner: _Found | None) -> None:
    """The names and plain arguments of the initialiser, and of torch's own that it called."""
    event.call, event.arguments = outer[0], _plain(outer)
    if inner is not None:
        told = event.arguments if inner is outer else _plain(inner)
        event.inner = inner[0], told
        if inner[0] in SCALED:
            event.law = inner[0], tuple(inner[2]["tensor"].shape), told


def _plain(found: _Found) -> Pairs:
    _, names, values = found
    return [(name, v) for name in names if type(v := values.get(name)) in SIMPLE]


def _holds(values: dict[str, Any], names: tuple[str, ...], key: int) -> bool:
    for name in names:
        value = values.get(name)
        if isinstance(value, Tensor) and key_of(value) == key:
            return True
    return False
