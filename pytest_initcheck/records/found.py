"""What was found and how it compares: findings, entries, tests and sessions, as plain data."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Literal

from pytest_initcheck.records.display import Displayed
from pytest_initcheck.records.measured import RunRecord

Severity = Literal["info", "warning", "error"]
Verdict = Literal["pass", "warn", "fail"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
# Worst first.
RANK: dict[Severity, int] = {severity: place for place, severity in enumerate(SEVERITIES)}
# What the code of a remedy acts on; "" where its author did not say.
RemedyTarget = Literal["", "model", "inputs", "targets", "batch", "optimizer"]
Decision = Literal["open", "within chance", "changed", "holds", "fails"]
ComparisonStatus = Literal["match", "changed", "missing", "new", "obsolete", "unreadable"]


class Consequence(str):
    """The line of a finding that follows from another; ``finding`` is that finding.

    It is None in what was read from a file, where the line alone is kept.
    """

    finding: Finding | None

    def __new__(cls, line: str, finding: Finding | None = None) -> Consequence:
        made = super().__new__(cls, line)
        made.finding = finding
        return made

    @classmethod
    def of(cls, finding: Finding) -> Consequence:
        """What is told of a finding below the one that explains it."""
        return cls(str(finding), finding)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, why, and what to do.

    ``id`` is stable ("IC101"); ``quantity`` names what ``measured`` and ``limit`` count;
    ``layers`` lists every layer that the same cause touches, ``layer`` first; ``consequences``
    are the lines of findings that follow from this one. ``profile`` is the quantity along the
    depth, by layer, where it is one. ``remedy_code`` is the remedy as Python, where it is
    mechanical: it changes its ``remedy_target``, and there what ``remedy_names`` lists.
    ``counts_layers`` says that ``measured`` is the number of ``layers``.
    ``ignored`` is the reason for which the finding is suppressed, ``title`` what its rule is
    called in a few words; ``written`` which calls wrote the layer's parameters, and from which
    lines, where the model was built by the diagnosis.
    """

    id: str
    check: str
    severity: Severity
    layer: str
    quantity: str
    measured: float | None
    limit: float | None
    cause: str
    remedy: str
    reference: str = ""
    units: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    profile: dict[str, float] = field(default_factory=dict)
    remedy_code: str = ""
    remedy_target: RemedyTarget = ""
    remedy_names: tuple[str, ...] = ()
    counts_layers: bool = False
    ignored: str = ""
    title: str = ""
    written: str = ""

    def __str__(self) -> str:
        where = f"layer {self.layer!r}" if self.layer else "model"
        units = f", {describe_units(self.units)}" if self.units else ""
        head = f"{self.severity} {self.id} {self.check}: {where}{units}"
        return f"{head}: {self.numbers}: {self.cause}"

    @property
    def numbers(self) -> str:
        """Measured against allowed, in words."""
        if self.measured is None:
            return self.quantity
        text = f"{self.quantity} {self.measured:.4g}"
        return text if self.limit is None else f"{text}, allowed {self.allowed}"

    @property
    def allowed(self) -> str:
        """What is allowed, in words; empty where there is no limit."""
        if self.measured is None or self.limit is None:
            return ""
        bound = "at least" if self.measured < self.limit else "at most"
        if self.measured == self.limit:
            bound = "more than"
        return f"{bound} {self.limit:.4g}"


def describe_units(units: tuple[int, ...], most: int = 8) -> str:
    """ "units 0, 1, 2 and 29 more" for a tuple of unit indices."""
    shown = ", ".join(str(unit) for unit in units[:most])
    more = f" and {len(units) - most} more" if len(units) > most else ""
    return f"unit{'s' if len(units) > 1 else ''} {shown}{more}"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that left its tolerance; ``excess`` is |actual − expected| / allowed."""

    key: str
    actual: str
    expected: str
    allowed: str
    excess: float


@dataclass(frozen=True, kw_only=True)
class Comparison(Displayed):
    """A record held against its baseline; differences come worst first.

    ``provenance`` is the baseline's: on which versions and which machine it was made;
    ``is_identical`` says that all values are equal in the seven digits that a baseline keeps.
    ``environment`` names the device and the torch that made the baseline; where this run has the
    same, ``bit_identical`` is the second verdict besides ``status``, which is one within chance.
    """

    status: ComparisonStatus
    differences: tuple[Difference, ...] = ()
    compared: int = 0
    notes: tuple[str, ...] = ()
    file: str = ""
    expected: RunRecord | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    is_identical: bool = False
    environment: str = ""
    bit_identical: bool | None = None

    def __repr__(self) -> str:
        count = len(self.differences)
        told = f"{count} difference{'s' * (count != 1)} of {self.compared} values"
        return f"Comparison({self.status}, {told})"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where a look decides: None where no value reaches the bound."""

    seeds: int
    accepts: float | None
    rejects: float | None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known after some of at most ``most`` seeds, and what was decided.

    ``question`` is "baseline" or "share". Of the first ``statistic`` is the value that lies
    furthest out, ``about`` its name: as a standard normal value of the same significance, inf for
    what no chance can do; of the second it is the number of seeds that succeed. ``bounds`` are
    those of all looks that there may be, on the same scale.
    """

    question: str
    seeds: int
    most: int
    statistic: float
    bounds: tuple[Bounds, ...] = ()
    decision: Decision
    about: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture for the report: ``data`` is SVG text, or base64 of a PNG."""

    title: str
    media: Literal["image/svg+xml", "image/png"]
    data: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recorded thing of one test: a diagnosis, a run, a sweep, an escape or plain metrics.

    ``ignored`` are the findings that do not count, each with its reason. ``looks`` are those after
    which it was decided whether to take more seeds. ``expected`` is how the test says that it
    expects the faults that were found; empty where it does not.
    """

    name: str
    kind: str
    record: RunRecord
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    comparison: Comparison | None = None
    ignored: tuple[Finding, ...] = ()
    looks: tuple[Look, ...] = ()
    expected: str = ""


@dataclass(frozen=True, kw_only=True)
class TestRecord:
    """All that one test recorded, with its outcome."""

    nodeid: str
    outcome: str = "passed"
    duration: float = 0.0
    message: str = ""
    entries: tuple[Entry, ...] = ()
    pictures: tuple[Picture, ...] = ()

    __test__: typing.ClassVar[bool] = False


@dataclass(frozen=True)
class SessionRecord:
    """One test run: the content of ``run.json``."""

    format: int
    provenance: dict[str, str]
    tests: tuple[TestRecord, ...] = ()
    notes: tuple[str, ...] = ()
