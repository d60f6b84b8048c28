"""The constants of a program: what someone wrote into it, as text that can be compared."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.learning_rate import rate_of, rate_text
from pytest_initcheck.evidence import Node

# A number with more digits was computed, perhaps from what was drawn.
_DIGITS = 6
# How an optimiser goes about it, which changes nothing but rounding; the rate is told apart.
_WAYS = {"params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable"}
_LONGEST = 160


def written(value: Any) -> str | None:
    """A constant as text, "~" for a float that is no round number, None for what is none."""
    if value is None or isinstance(value, (bool, int, str, torch.dtype)):
        return str(value).removeprefix("torch.")[:_LONGEST]
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, (tuple, list)):
        parts = [written(item) for item in value]
        return None if None in parts else f"({', '.join(map(str, parts))})"
    return None


@functools.lru_cache(maxsize=4096)
def _short(value: float) -> str:
    short = f"{value:.{_DIGITS}g}"
    return short if float(short) == value or value != value else "~"


def constants(args: Sequence[Any], options: Mapping[str, Any]) -> tuple[str, ...]:
    """The constants among the arguments of an operator."""
    placed = [
        text
        for value in args
        if value is not None and not isinstance(value, Tensor) and (text := written(value))
    ]
    if not options:
        return tuple(placed)
    named = ((key, written(value)) for key, value in sorted(options.items()) if value is not None)
    return (*placed, *(f"{key}={value}" for key, value in named if value))


def operations(nodes: Iterable[Node]) -> dict[str, int]:
    """How often each operator ran with which constants."""
    return dict(Counter(_named(node) for node in nodes if not node.selects and all(node.shape)))


def wiring(nodes: Iterable[Node]) -> str:
    """A digest of which operator ran after which, on what, and with which parameters."""
    lines = (f"{_named(n)} {n.owner} {n.params} {n.inputs}" for n in nodes)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _named(node: Node) -> str:
    constants = ", ".join(node.constants)
    return f"{node.operator}({constants})" if constants else node.operator


def optimizer_name(optimizer: torch.optim.Optimizer) -> str:
    """The class of an optimiser and what was chosen in it, "SGD(momentum=0.9)"; without rates.

    Several groups of parameters are told one after the other where they differ.
    """
    usual = _defaults(type(optimizer))
    chosen = [
        ", ".join(
            f"{key}={text}"
            for key, value in sorted(group.items())
            if key in usual
            and key not in _WAYS
            and written(value) != written(usual[key])
            and (text := written(value))
        )
        for group in optimizer.param_groups
    ]
    told = "; ".join(chosen if len(set(chosen)) > 1 else chosen[:1])
    parts = getattr(optimizer, "optimizers", ())
    if parts:
        return " + ".join(optimizer_name(part) for part in parts)
    name = type(optimizer).__name__
    return f"{name}({told})" if told else name


def rates(optimizer: torch.optim.Optimizer) -> str:
    """The rates of the groups of parameters, one where all are equal."""
    each = [rate_text(rate_of(group)) for group in optimizer.param_groups]
    return ", ".join(each if len(set(each)) > 1 else each[:1])


def function_name(function: Any) -> str:
    """A function or loss by name, with what was chosen in it: "CrossEntropyLoss(reduction=sum)".

    For a module these are the arguments of its class that it keeps under their names, for a
    ``functools.partial`` what it holds.
    """
    inner = getattr(function, "func", function)
    name = getattr(inner, "__name__", type(inner).__name__)
    chosen = {**getattr(function, "keywords", {})}
    if isinstance(function, torch.nn.Module):
        usual = _defaults(type(function))
        kept = {key: getattr(function, key, default) for key, default in usual.items()}
        chosen = {key: v for key, v in kept.items() if written(v) != written(usual[key])}
    parts = [f"{key}={text}" for key, value in chosen.items() if (text := written(value))]
    return f"{name}({', '.join(parts)})" if parts else name


def body(function: Any) -> str:
    """What a function that someone wrote calls, and its constants; "" for any other."""
    code = getattr(function, "__code__", None)
    if code is None or (getattr(function, "__module__", None) or "").startswith("torch."):
        return ""
    known = (value for value in code.co_consts if value != function.__doc__)
    texts = [text for value in known if _is_telling(value) and (text := written(value))]
    return " ".join([*code.co_names, *texts])[:_LONGEST]


def _is_telling(value: Any) -> bool:
    # Small integers have left the constants of Python 3.14; texts are documentation for the most,
    # but for the single words that choose something: reduction="sum".
    if isinstance(value, str):
        return value.isidentifier()
    return isinstance(value, (float, tuple)) and value != ()


def _defaults(kind: type) -> dict[str, Any]:
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
