"""``initcheck scaling``: how a model scales with a size, without a test file."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_initcheck import report
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.check_options import asked_of
from pytest_initcheck.records import Entry, SessionRecord, TestRecord
from pytest_initcheck.session.failure import remedies
from pytest_initcheck.session.provenance import provenance

if TYPE_CHECKING:
    from pytest_initcheck.records import Finding
    from pytest_initcheck.sizes import Scaling


def scaling(arguments: argparse.Namespace) -> int:
    """Measure, print the exponents and what is wrong with them; 1 where something is.

    Raises:
        InitcheckError: a model cannot be made, or the sizes are none; the message says why.
    """
    found, guessed = _measured(arguments)
    findings = _judged(found, arguments)
    path = _written(arguments, found, findings)
    if arguments.plot:
        found.plot().savefig(arguments.plot)
    if arguments.json:
        print(json.dumps(_data(arguments.target, found, findings), allow_nan=False))
    else:
        head = f"{arguments.target}: {found!r}"
        told = [f"guessed: {'; '.join(guessed)}"] if guessed else []
        lines = [head, *told, *found.table(), *map(str, findings), *remedies(findings)]
        print("\n".join([*lines, *([f"report: {path}"] if path else [])]))
    return FOUND if findings else OK


def _measured(arguments: argparse.Namespace) -> tuple[Scaling, tuple[str, ...]]:
    from pytest_initcheck.sizes import scaling
    from pytest_initcheck.subjects.find import build_model, find
    from pytest_initcheck.subjects.make import made

    by_size = _batch_by_size(arguments.batch)
    more = tuple(arguments.args)
    args = (str(min(arguments.sizes)), *more)
    batch = "" if by_size else arguments.batch
    smallest = made(replace(asked_of(arguments), args=args, batch=batch))
    factory = find(arguments.target)
    found = scaling(
        lambda size: build_model(factory, arguments.target, (str(size), *more)),
        arguments.sizes,
        by_size or smallest.batch,
        smallest.loss_fn,
        _optimizer(arguments),
        steps=arguments.steps,
        seeds=arguments.seeds,
        forward=smallest.forward,
        device=arguments.device,
    )
    return found, () if by_size else smallest.guessed


def _batch_by_size(target: str) -> Callable[[int], Any] | None:
    """The function that makes the batch of a size, None where one batch serves all."""
    from pytest_initcheck.inputs.signature import takes
    from pytest_initcheck.subjects.find import find

    found = find(target) if target else None
    asked = takes(found) if callable(found) else None
    return found if asked is not None and asked.required == 1 else None


def _optimizer(arguments: argparse.Namespace) -> Callable[[Any], Any]:
    from pytest_initcheck.cli.check import optimizer_named
    from pytest_initcheck.subjects.find import find

    if ":" in arguments.optimizer:
        given: Callable[[Any], Any] = find(arguments.optimizer)
        return given
    return lambda params: optimizer_named(arguments.optimizer, arguments.lr, params)


def _judged(found: Scaling, arguments: argparse.Namespace) -> list[Finding]:
    from pytest_initcheck.sizes.judge_depth import judge_depth
    from pytest_initcheck.sizes.judge_width import judge_width

    if arguments.depth:
        return judge_depth(found, transfers=arguments.parametrization == "mup")
    named = arguments.parametrization
    return judge_width(found, None if named == "none" else named)


def _written(arguments: argparse.Namespace, found: Scaling, findings: list[Finding]) -> str:
    """Where the report went; "" where none was wanted."""
    if not arguments.report:
        return ""
    entry = Entry(
        name="scaling",
        kind="scaling",
        record=found.run_record(),
        verdict="fail" if findings else "pass",
        findings=tuple(findings),
    )
    outcome = "failed" if findings else "passed"
    test = TestRecord(nodeid=arguments.target, outcome=outcome, entries=(entry,))
    session = SessionRecord(report.FORMAT, provenance([entry]), (test,))
    return str(report.write(session, arguments.report))


def _data(target: str, found: Scaling, findings: list[Finding]) -> dict[str, Any]:
    rows = found.to_frame().to_dict("records")
    return {
        "target": target,
        "sizes": found.sizes,
        "seeds": found.seeds,
        "exponents": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "findings": [{"id": f.id, "layer": f.layer, "told": str(f)} for f in findings],
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
