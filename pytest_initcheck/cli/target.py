"""Finds the model that ``MODULE:FACTORY`` names."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError

if TYPE_CHECKING:
    from torch import nn


def build_model(found: Any, target: str) -> nn.Module:
    """The module that ``target`` names, or that it returns as a factory.

    Raises:
        InitcheckError: it is no factory, raises, or gives no nn.Module.
    """
    from torch import nn

    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise InitcheckError(
            f"{target} is of type {type(found).__name__}; name an nn.Module, or a callable that"
            " returns one"
        )
    try:
        made = found()
    except (Exception, SystemExit) as error:
        hint = "; name a callable that needs no arguments" if isinstance(error, TypeError) else ""
        raise InitcheckError(f"{target}() raised {_said(error)}{hint}") from error
    if not isinstance(made, nn.Module):
        raise InitcheckError(
            f"{target}() returned an object of type {type(made).__name__}, not an nn.Module"
        )
    return made


def find(target: str) -> Any:
    """What ``MODULE:FACTORY`` names.

    Raises:
        InitcheckError: there is no such module or attribute, or importing it raises.
    """
    name, colon, attribute = target.partition(":")
    if not name or not colon or not attribute:
        raise InitcheckError(f"{target!r}: pass MODULE:FACTORY, such as package.models:make_model")
    if name.endswith(".py") or "/" in name or os.sep in name:
        dotted = name.removesuffix(".py").strip("./").replace(os.sep, ".").replace("/", ".")
        raise InitcheckError(f"{name!r} is a path; pass the module's name: {dotted}:{attribute}")
    found: Any = _import(name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InitcheckError(f"{name!r} has no {attribute!r}; it has {_public(found)}")
        found = getattr(found, part)
    return found


def _import(name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InitcheckError(
                f"there is no module {error.name!r}; run from the folder that holds it, or "
                "install it"
            ) from error
        raise InitcheckError(f"importing {name!r} raised {_said(error)}") from error
    except (Exception, SystemExit) as error:
        raise InitcheckError(f"importing {name!r} raised {_said(error)}") from error


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _public(home: Any) -> str:
    names = [
        name
        for name, value in vars(home).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == getattr(home, "__name__", None)
    ]
    return ", ".join(names[:10]) or "nothing that could make a model"
