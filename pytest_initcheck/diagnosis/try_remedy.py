"""Runs the code of remedies on a model that is put back afterwards, and diagnoses it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.program import copied, split
from pytest_initcheck.capture.validate import make_optimizer
from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RANK, Finding


@dataclass(frozen=True)
class Remedied:
    """A batch and an optimiser after the code of remedies; the model was changed in place."""

    batch: Any
    optimizer: Callable[[Any], torch.optim.Optimizer] | None


def mechanical(findings: Sequence[Finding], done: Sequence[Remedy] = ()) -> list[Remedy]:
    """The findings' remedies that are code, worst finding first, without what has been run."""
    ranked = sorted(findings, key=lambda f: RANK[f.severity])
    found: dict[str, Remedy] = {}
    for remedy in map(Remedy.of, ranked):
        found.setdefault(remedy.code, remedy)
    known = {remedy.code for remedy in done}
    return [remedy for code, remedy in found.items() if code and code not in known]


def run_remedies(remedies: Sequence[Remedy], model: nn.Module, given: Remedied) -> Remedied:
    """Run the code of remedies on the model and on copies of the data.

    Raises:
        InitcheckError: a piece of code raised; the message holds it.
    """
    batch, late = copied(given.batch), list[str]()
    for remedy in remedies:
        if remedy.target == "optimizer":
            late.append(remedy.code)
            continue
        try:
            batch = _on_batch(remedy.code, model, batch)
        except InitcheckError as error:
            # A team's plain text does not say what it acts on.
            if remedy.target or not _lacks_optimizer(error.__cause__):
                raise
            late.append(remedy.code)
    return Remedied(batch, _changed(given.optimizer, model, late))


def _lacks_optimizer(error: BaseException | None) -> bool:
    return isinstance(error, NameError) and error.name == "optimizer"


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
