"""``initcheck check``: diagnose a model without a test file."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck import report
from pytest_initcheck.checks.known_ignores import parse_known
from pytest_initcheck.checks.selection import Selection, parse_select
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.check_json import data_of
from pytest_initcheck.cli.check_options import asked_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.writer import is_writer
from pytest_initcheck.records import Entry, Finding, ModelRecord, SessionRecord, TestRecord
from pytest_initcheck.session.failure import code_lines, profile_lines, remedies, worst_first
from pytest_initcheck.session.provenance import provenance

if TYPE_CHECKING:
    import torch

    from pytest_initcheck.diagnosis import Diagnosis
    from pytest_initcheck.ignores import Ignore
    from pytest_initcheck.subjects.make import Made


def check(arguments: argparse.Namespace) -> int:
    """Diagnose, print the table, write the report; 1 where the verdict is "fail".

    Raises:
        InitcheckError: the model or the report cannot be made; the message says why.
    """
    from pytest_initcheck.subjects.make import made

    ignores = _ignores(arguments.ignore)
    selection = Selection(parse_select(arguments.select), arguments.strict)
    subject = made(asked_of(arguments))
    diagnosis = selection.applied(_diagnose(arguments, subject, ignores))
    path = _written(arguments, diagnosis)
    if arguments.json:
        data = data_of(
            arguments.target,
            diagnosis,
            subject.guessed,
            report=path,
            histograms=arguments.histograms,
        )
        print(json.dumps(data, allow_nan=False))
    else:
        lines = _lines(arguments.target, diagnosis, subject.guessed)
        print("\n".join([*lines, *([f"report: {path}"] if path else [])]))
    return FOUND if diagnosis.verdict == "fail" else OK


def _written(arguments: argparse.Namespace, diagnosis: Diagnosis) -> str:
    """Where the report went; "" where none was wanted, or another rank writes it."""
    if arguments.report == "off" or not is_writer():
        return ""
    return str(report.write(_session(arguments.target, diagnosis), arguments.report))


def _ignores(texts: list[str]) -> tuple[Ignore, ...]:
    try:
        return parse_known(texts)
    except InitcheckError as error:
        raise InitcheckError(f"--ignore: {error}") from None


def _diagnose(
    arguments: argparse.Namespace, subject: Made, ignores: tuple[Ignore, ...]
) -> Diagnosis:
    from pytest_initcheck.diagnosis import diagnose
    from pytest_initcheck.inputs.lightning import is_stepped

    kind, lr = arguments.optimizer, arguments.lr
    has_own = is_stepped(subject.model) and not subject.forward and subject.loss_fn is None
    is_own = kind is None and lr is None and has_own
    return diagnose(
        subject.recorded,
        subject.batch,
        subject.loss_fn,
        None if is_own else lambda parameters: optimizer_named(kind or "sgd", lr, parameters),
        arguments.steps,
        subject.forward,
        ignore=ignores,
        causal=arguments.causal,
        thorough=arguments.thorough,
    )


def optimizer_named(kind: str, lr: float | None, parameters: Any) -> torch.optim.Optimizer:
    """torch's optimiser of that name; the rate is by default 0.01 for sgd, else its own."""
    import torch

    rate = 1e-2 if lr is None and kind == "sgd" else lr
    known = {name.lower(): make for name, make in vars(torch.optim).items()}
    made: torch.optim.Optimizer = known[kind](parameters, **({} if rate is None else {"lr": rate}))
    return made


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


def _lines(target: str, diagnosis: Diagnosis, guessed: Sequence[str]) -> list[str]:
    findings = worst_first(diagnosis.findings)
    first, last = diagnosis.losses[0], diagnosis.losses[-1]
    steps = len(diagnosis.losses) - 1
    return [
        f"{target}: {diagnosis.verdict}{_counts(findings, len(diagnosis.ignored))};"
        f" loss {first:.4g}, after {steps} step{'s' * (steps > 1)} {last:.4g}",
        *([f"guessed: {'; '.join(guessed)}"] if guessed else []),
        *report.table(_with_updates(diagnosis), findings),
        *(line for finding in findings for line in _told(finding)),
        *(f"ignored ({finding.ignored}): {finding}" for finding in diagnosis.ignored),
        *(line for finding in findings[:1] for line in profile_lines(finding)),
        *remedies(findings),
        *(line for finding in findings[:1] for line in code_lines(finding)),
        *([f"fit: {diagnosis.learning}"] if diagnosis.learning else []),
    ]


def _told(finding: Finding) -> list[str]:
    """A finding, and below it which calls wrote the weights that it is about."""
    return [str(finding), *([f"  written: {finding.written}"] if finding.written else [])]


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
