"""Python that makes data, models and functions again, as a person would write it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def batch_code(batch: Any, *, exact: bool = False) -> str:
    """An expression for random data like a batch; ``exact``: of its own mean and deviation."""
    if isinstance(batch, Tensor):
        return _tensor(batch, exact=exact)
    if isinstance(batch, Mapping):
        items = (f"{key!r}: {batch_code(value, exact=exact)}" for key, value in batch.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(batch, (tuple, list)):
        inner = ", ".join(batch_code(value, exact=exact) for value in batch)
        if isinstance(batch, list):
            return f"[{inner}]"
        return f"({inner}{',' * (len(batch) == 1)})"
    return repr(batch) if _is_literal(repr(batch)) else "None"


def _tensor(tensor: Tensor, *, exact: bool) -> str:
    shape = ", ".join(map(str, tensor.shape))
    whole = f"({shape}{',' * (tensor.dim() == 1)})"
    if tensor.dtype == torch.bool:
        return f"torch.rand({whole}) < {float(tensor.float().mean()) if tensor.numel() else 0:.4g}"
    if tensor.is_complex():
        return f"torch.randn({whole}, dtype={tensor.dtype})"
    if not tensor.is_floating_point():
        low, high = (int(v) for v in tensor.aminmax()) if tensor.numel() else (0, 0)
        kind = "" if tensor.dtype == torch.long else f", dtype={tensor.dtype}"
        if low == high:
            return f"torch.full({whole}, {low}{kind})"
        return f"torch.randint({low}, {high + 1}, {whole}{kind})"
    kind = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    drawn = f"torch.randn({whole if not tensor.dim() else shape}{kind})"
    return f"{drawn}{_scaled(tensor)}" if exact else drawn


def _scaled(tensor: Tensor) -> str:
    values = tensor.detach().double()
    if values.numel() < 2:
        return ""
    mean, deviation = float(values.mean()), float(values.std())
    return f" * {deviation:.6g} + {mean:.6g}"


def model_code(model: nn.Module) -> tuple[list[str], str] | None:
    """Imports and an expression that makes a model of the same kind; None where it cannot be told.

    Of torch's own modules the settings that they print, of others what their constructor takes
    and they keep under the same name.
    """
    kind = type(model)
    if kind is nn.Sequential:
        parts = [model_code(child) for child in model.children()]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        imports = [line for lines, _ in known for line in lines]
        return imports, f"nn.Sequential({', '.join(text for _, text in known)})"
    if kind.__module__.startswith("torch.nn.modules") and not list(model.children()):
        text = f"nn.{kind.__name__}({model.extra_repr()})"
        return ([], text) if _is_call(text) else None
    if not is_importable(kind):
        return None
    arguments = _kept(model)
    return None if arguments is None else ([import_code(kind)], f"{kind.__qualname__}({arguments})")


def _kept(model: nn.Module) -> str | None:
    from pytest_initcheck.inputs.signature import takes

    asked = takes(type(model))
    if asked is None:
        return None
    found = []
    for place, name in enumerate(asked.names):
        value = vars(model).get(name, model)
        if _is_literal(repr(value)):
            found.append(f"{name}={value!r}")
        elif place < asked.required:
            return None
    return ", ".join(found)


def is_importable(value: Any) -> bool:
    """Whether a class or function is reached by its module and name."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    name = getattr(value, "__qualname__", "")
    return name.isidentifier() and getattr(module, name, None) is value and name != "<lambda>"


def import_code(value: Any) -> str:
    """The line that imports a class or function."""
    return f"from {value.__module__} import {value.__qualname__}"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _is_call(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True
