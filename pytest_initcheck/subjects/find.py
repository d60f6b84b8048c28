"""Finds the model that a target names: a module or a file, or a library of models."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.subjects.raised import said
from pytest_initcheck.subjects.spec import arguments

if TYPE_CHECKING:
    from torch import nn


def build_model(found: Any, target: str, args: Sequence[str] = ()) -> nn.Module:
    """The module that ``target`` names, or that it returns as a factory of ``args``.

    Raises:
        InitcheckError: it is no factory, raises, or gives no nn.Module.
    """
    from torch import nn

    if isinstance(found, nn.Module):
        if args:
            raise InitcheckError(f"{target} is a model already and takes no --args")
        return found
    if not callable(found):
        raise InitcheckError(
            f"{target} is of type {type(found).__name__}; name an nn.Module, or a callable that"
            " returns one"
        )
    made = call(found, target, args)
    if not isinstance(made, nn.Module):
        raise InitcheckError(
            f"{target}() returned an object of type {type(made).__name__}, not an nn.Module"
        )
    return made


def call(function: Any, target: str, args: Sequence[str] = ()) -> Any:
    """What a function of a target returns for the arguments typed.

    Raises:
        InitcheckError: it raised.
    """
    placed, named = arguments(args)
    try:
        return function(*placed, **named)
    except (Exception, SystemExit) as error:
        is_call = isinstance(error, TypeError) and "argument" in str(error)
        hint = "; pass them with --args VALUE NAME=VALUE" if is_call else ""
        raise InitcheckError(f"{target}() raised {said(error)}{hint}") from error


def find(target: str) -> Any:
    """What ``MODULE:NAME`` or ``FILE.py:NAME`` names.

    Raises:
        InitcheckError: there is no such module, file or attribute, or importing it raises.
    """
    name, colon, attribute = target.rpartition(":")
    if not name or not colon or not attribute:
        raise InitcheckError(
            f"{target!r}: pass MODULE:FACTORY, such as package.models:make_model, a file as "
            "models.py:make_model, or a library's model as timm:vit_tiny_patch16_224"
        )
    found: Any = _import_file(name) if _is_path(name) else _import(name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InitcheckError(f"{name!r} has no {attribute!r}; it has {_public(found)}")
        found = getattr(found, part)
    return found


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name or os.sep in name


def _import_file(name: str) -> Any:
    file = Path(name if name.endswith(".py") else f"{name}.py").resolve()
    if not file.is_file():
        raise InitcheckError(f"there is no file {name!r}; pass the path of a Python file")
    home, parts = file.parent, [file.stem]
    while (home / "__init__.py").is_file():
        home, parts = home.parent, [home.name, *parts]
    _put_on_path(str(home))
    dotted = ".".join(parts)
    known = sys.modules.get(dotted)
    if known is not None and getattr(known, "__file__", None) != str(file):
        return _load(dotted, file)
    return _import(dotted)


def _load(dotted: str, file: Path) -> Any:
    """A file whose module's name is taken, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"initcheck_target_{dotted}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InitcheckError(f"importing {file.name!r} raised {said(error)}") from error
    return module


def _put_on_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _import(name: str) -> Any:
    _put_on_path(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InitcheckError(
                f"there is no module {error.name!r}; run from the folder that holds it, or "
                "install it"
            ) from error
        raise InitcheckError(f"importing {name!r} raised {said(error)}") from error
    except (Exception, SystemExit) as error:
        raise InitcheckError(f"importing {name!r} raised {said(error)}") from error


def _public(home: Any) -> str:
    names = [
        name
        for name, value in vars(home).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == getattr(home, "__name__", None)
    ]
    return ", ".join(names[:10]) or "nothing that could make a model"
