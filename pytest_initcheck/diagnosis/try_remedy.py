"""Runs the code of remedies on a model that is put back afterwards, and diagnoses it again."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.program import copied, split
from pytest_initcheck.capture.validate import make_optimizer
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RANK, Finding


@dataclass(frozen=True)
class Remedied:
    """A batch and an optimiser after the code of remedies; the model was changed in place."""

    batch: Any
    optimizer: Callable[[Any], torch.optim.Optimizer] | None


def mechanical(findings: Sequence[Finding], done: Sequence[str] = ()) -> list[str]:
    """The code of the findings' remedies, worst finding first, without what has been run."""
    ranked = sorted(findings, key=lambda f: RANK[f.severity])
    found = dict.fromkeys(f.remedy_code for f in ranked if f.remedy_code)
    return [code for code in found if code not in done]


def run_code(codes: Sequence[str], model: nn.Module, given: Remedied) -> Remedied:
    """Run the code on the model and on copies of the data.

    Raises:
        InitcheckError: a piece of code raised; the message holds it.
    """
    batch = copied(given.batch)
    on_optimizer = [code for code in codes if _uses(code, "optimizer")]
    for code in codes:
        if code not in on_optimizer:
            batch = _on_batch(code, model, batch)
    return Remedied(batch, _changed(given.optimizer, model, on_optimizer))


def _uses(code: str, name: str) -> bool:
    """Whether code reads a variable."""
    nodes = ast.walk(ast.parse(code))
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _on_batch(code: str, model: nn.Module, batch: Any) -> Any:
    is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    inputs, targets = split(batch) if is_pair else (batch, None)
    names = {"model": model, "batch": batch, "inputs": inputs, "targets": targets, "torch": torch}
    _run(code, names)
    if is_pair:
        return names["inputs"], names["targets"]
    return names["inputs"] if names["inputs"] is not inputs else names["batch"]


def _run(code: str, names: dict[str, Any]) -> None:
    try:
        exec(code, names)
    except Exception as error:
        raise InitcheckError(
            f"the remedy does not fit this model ({type(error).__name__}: {error}):\n{code}"
        ) from error


def _changed(
    optimizer: Callable[[Any], torch.optim.Optimizer] | None, model: nn.Module, codes: Sequence[str]
) -> Callable[[Any], torch.optim.Optimizer] | None:
    if not codes:
        return optimizer

    def make(parameters: Any) -> torch.optim.Optimizer:
        made = make_optimizer(None, model) if optimizer is None else optimizer(parameters)
        for code in codes:
            _run(code, {"model": model, "optimizer": made})
        return made

    return make
