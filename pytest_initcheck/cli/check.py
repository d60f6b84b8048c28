"""``initcheck check``: diagnose a model on random data."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck import report
from pytest_initcheck.checks.known_ignores import parse_known
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.target import build_model, find
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Entry, Finding, ModelRecord, SessionRecord, TestRecord
from pytest_initcheck.serialization import encode
from pytest_initcheck.session.failure import code_lines, profile_lines, remedies, worst_first
from pytest_initcheck.session.provenance import provenance

if TYPE_CHECKING:
    import torch

    from pytest_initcheck.diagnosis import Diagnosis
    from pytest_initcheck.ignores import Ignore


def check(arguments: argparse.Namespace) -> int:
    """Diagnose, print the table, write the report; 1 where the verdict is "fail".

    Raises:
        InitcheckError: the model or the report cannot be made; the message says why.
    """
    diagnosis = _diagnose(arguments, _ignores(arguments.ignore))
    session = _session(arguments.target, diagnosis)
    path = report.write(session, arguments.report)
    if arguments.json:
        print(json.dumps(_data(arguments.target, diagnosis, str(path)), allow_nan=False))
    else:
        print("\n".join([*_lines(arguments.target, diagnosis), f"report: {path}"]))
    return FOUND if diagnosis.verdict == "fail" else OK


def _ignores(texts: list[str]) -> tuple[Ignore, ...]:
    try:
        return parse_known(texts)
    except InitcheckError as error:
        raise InitcheckError(f"--ignore: {error}") from None


def _diagnose(arguments: argparse.Namespace, ignores: tuple[Ignore, ...]) -> Diagnosis:
    import torch

    from pytest_initcheck.capture.device import resolve_device
    from pytest_initcheck.capture.randomness import seed_all
    from pytest_initcheck.cli.batch import make_batch, make_loss
    from pytest_initcheck.diagnosis import diagnose

    dtype = getattr(torch, arguments.dtype)
    device = resolve_device(arguments.device, "pass --device cpu")
    seed_all(arguments.seed)
    factory = find(arguments.target)
    # Importing may have drawn numbers, the first time only.
    seed_all(arguments.seed)
    model = build_model(factory, arguments.target).to(device=device, dtype=dtype)
    batch = make_batch(arguments, model, str(device), dtype)
    kind, lr = arguments.optimizer, arguments.lr
    return diagnose(
        model,
        batch,
        make_loss(arguments),
        lambda parameters: _optimizer(kind, lr, parameters),
        arguments.steps,
        ignore=ignores,
        causal=arguments.causal,
        thorough=arguments.thorough,
    )


def _optimizer(kind: str, lr: float | None, parameters: Any) -> torch.optim.Optimizer:
    import torch

    if kind == "adam":
        return torch.optim.Adam(parameters, lr=1e-3 if lr is None else lr)
    return torch.optim.SGD(parameters, lr=1e-2 if lr is None else lr)


def _session(target: str, diagnosis: Diagnosis) -> SessionRecord:
    entry = Entry(
        name="diagnosis",
        kind="diagnosis",
        record=diagnosis.run_record(),
        verdict=diagnosis.verdict,
        findings=tuple(diagnosis.findings),
        ignored=tuple(diagnosis.ignored),
    )
    outcome = "failed" if diagnosis.verdict == "fail" else "passed"
    test = TestRecord(nodeid=target, outcome=outcome, entries=(entry,))
    return SessionRecord(report.FORMAT, provenance([entry]), (test,))


def _lines(target: str, diagnosis: Diagnosis) -> list[str]:
    findings = worst_first(diagnosis.findings)
    first, last = diagnosis.losses[0], diagnosis.losses[-1]
    steps = len(diagnosis.losses) - 1
    return [
        f"{target}: {diagnosis.verdict}{_counts(findings, len(diagnosis.ignored))};"
        f" loss {first:.4g}, after {steps} step{'s' * (steps > 1)} {last:.4g}",
        *report.table(_with_updates(diagnosis), findings),
        *(str(finding) for finding in findings),
        *(f"ignored ({finding.ignored}): {finding}" for finding in diagnosis.ignored),
        *(line for finding in findings[:1] for line in profile_lines(finding)),
        *remedies(findings),
        *(line for finding in findings[:1] for line in code_lines(finding)),
        *([f"fit: {diagnosis.learning}"] if diagnosis.learning else []),
    ]


def _with_updates(diagnosis: Diagnosis) -> ModelRecord:
    """The start, with how far the steps moved each weight."""
    moved = {layer.name: layer.update_ratio for layer in diagnosis.after.layers}
    layers = (
        dataclasses.replace(layer, update_ratio=moved.get(layer.name, {}))
        for layer in diagnosis.record.layers
    )
    return dataclasses.replace(diagnosis.record, layers=tuple(layers))


def _counts(findings: list[Any], ignored: int) -> str:
    kinds = [finding.severity for finding in findings]
    told = [
        f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) > 1)}"
        for kind in ("error", "warning", "info")
        if kind in kinds
    ]
    told += [f"{ignored} ignored"] if ignored else []
    return f" ({', '.join(told)})" if told else ""


def _data(target: str, diagnosis: Diagnosis, path: str) -> dict[str, Any]:
    return {
        "target": target,
        "verdict": diagnosis.verdict,
        "findings": _encoded(worst_first(diagnosis.findings)),
        "ignored": _encoded(diagnosis.ignored),
        "unused_ignores": [str(ignore) for ignore in diagnosis.unused_ignores],
        "record": encode(diagnosis.run_record()),
        "report": path,
    }


def _encoded(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [{**encode(dataclasses.asdict(finding)), "text": str(finding)} for finding in findings]
