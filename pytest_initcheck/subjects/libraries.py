"""Models of libraries and of torch.hub by name, with weights as they are drawn."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.subjects.find import build_model, find
from pytest_initcheck.subjects.hub import of_hub
from pytest_initcheck.subjects.raised import said
from pytest_initcheck.subjects.spec import arguments

if TYPE_CHECKING:
    from torch import nn

_HEADS = ("Seq2SeqLM", "MaskedLM", "CausalLM", "ImageClassification", "AudioClassification")


def model_of(target: str, args: Sequence[str] = ()) -> nn.Module:
    """The model that a target names: a library's by `LIBRARIES`, of a module or of a file.

    Raises:
        InitcheckError: there is none of that name, or making it raised.
    """
    prefix, _, name = target.partition(":")
    library = LIBRARIES.get(prefix)
    if library is None or not name:
        return build_model(find(target), target, args)
    module = _library(library.module, target)
    if prefix != "hf" and callable(getattr(module, name, None)):
        return build_model(getattr(module, name), target, args)
    placed, named = arguments(args)
    try:
        made: nn.Module = library.make(name, placed, named)
    except InitcheckError:
        raise
    except Exception as error:
        raise InitcheckError(f"{target} raised {said(error)}") from error
    return made


def imported(target: str) -> None:
    """Import what a target names, so that drawing numbers starts after it."""
    prefix, _, name = target.partition(":")
    library = LIBRARIES.get(prefix)
    if library is None or not name:
        find(target)
    else:
        _library(library.module, target)


class _Library:
    """A library by the module to import and the function that makes a model of it."""

    def __init__(self, module: str, make: Callable[[str, list[Any], dict[str, Any]], Any]) -> None:
        self.module, self.make = module, make


def _library(module: str, target: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise InitcheckError(f"importing {module} raised {said(error)}") from error
        raise InitcheckError(f"{target} needs {module}: pip install {module}") from None


def _of_timm(name: str, placed: list[Any], named: dict[str, Any]) -> Any:
    return importlib.import_module("timm").create_model(name, *placed, **named)


def _of_torchvision(name: str, placed: list[Any], named: dict[str, Any]) -> Any:
    models = importlib.import_module("torchvision.models")
    name = name.rpartition(".")[2]
    builder = models.get_model_builder(name)
    # What is not given would be downloaded.
    known = inspect.signature(builder).parameters
    given = {name: None for name in ("weights", "weights_backbone") if name in known}
    return builder(*placed, **{**given, **named})


def _of_transformers(name: str, placed: list[Any], named: dict[str, Any]) -> Any:
    library = importlib.import_module("transformers")
    kind: Any = getattr(library, name, None)
    if hasattr(kind, "config_class"):
        return kind(kind.config_class(*placed, **named))
    mapping = library.CONFIG_MAPPING
    if name in mapping:
        return _with_head(library, mapping[name](*placed, **named))
    config = library.AutoConfig.from_pretrained(name, **named)
    kinds = getattr(config, "architectures", None) or []
    kind = getattr(library, kinds[0], None) if kinds else None
    return kind(config) if kind is not None else _with_head(library, config)


def _with_head(library: Any, config: Any) -> Any:
    """The model of a config with the head that it is trained with, where there is one."""
    for head in _HEADS:
        try:
            return getattr(library, f"AutoModelFor{head}").from_config(config)
        except ValueError:
            continue
    return library.AutoModel.from_config(config)


LIBRARIES = {
    "timm": _Library("timm", _of_timm),
    "torchvision": _Library("torchvision", _of_torchvision),
    "hf": _Library("transformers", _of_transformers),
    "hub": _Library("torch.hub", of_hub),
}
