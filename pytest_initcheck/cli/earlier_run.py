"""A stored run in the place of the baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_initcheck.baseline import Environment, Stored, compare, freeze
from pytest_initcheck.cli.runs import Run
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, RunRecord, TestRecord

Tests = dict[str, tuple[TestRecord, Run]]


def tests_of(found: Iterable[Run]) -> Tests:
    """The tests of several runs, each as the first of them has it."""
    tests: Tests = {}
    for run in found:
        for test in run.record.tests:
            tests.setdefault(test.nodeid, (test, run))
    return tests


class EarlierRun:
    """What the tests of a run recorded, as if it had been stored."""

    def __init__(self, name: str, found: Sequence[Run]) -> None:
        self.name = name
        self.tests = tests_of(found)

    def path(self, nodeid: str) -> Path:
        """The file that the run was given as."""
        return Path(self.name)

    def entries(self, nodeid: str, device: str = "") -> tuple[str, ...]:
        """The names of what the test recorded, on whatever device."""
        known = self.tests.get(nodeid)
        return tuple(entry.name for entry in known[0].entries) if known else ()

    def stored(
        self, nodeid: str, entry_name: str, environment: Environment | None = None
    ) -> Stored | None:
        """What a baseline would have kept of that record."""
        known = self.tests.get(nodeid)
        if known is None:
            return None
        test, run = known
        records = (entry.record for entry in test.entries if entry.name == entry_name)
        return next((freeze(record, run.record.provenance) for record in records), None)

    def compare(
        self,
        nodeid: str,
        entry_name: str,
        record: RunRecord,
        *,
        provenance: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> Comparison:
        """The record held against that of the run; "missing" where there is none.

        Raises:
            InitcheckError: the numbers cannot be compared.
        """
        stored = self.stored(nodeid, entry_name)
        if stored is None:
            return Comparison(status="missing", file=self.name)
        environment = Environment.of(record, provenance)
        try:
            found = compare(
                record, stored, device=environment.device or None, file=self.name, **options
            )
        except (ArithmeticError, ValueError) as error:
            raise InitcheckError(
                f"{self.name}: {nodeid}: {entry_name!r} cannot be compared: {error}"
            ) from None
        return environment.told(found, Environment.of_stored(stored))
