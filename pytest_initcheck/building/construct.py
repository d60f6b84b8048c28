"""``construction``: builds a model, and says which calls wrote every parameter and buffer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from pytest_initcheck.checks.construction import WrittenValues
from pytest_initcheck.checks.draw_law import DrawLaw
from pytest_initcheck.checks.draws import Draws
from pytest_initcheck.checks.odd_buffers import OddBuffers
from pytest_initcheck.checks.verdict import verdict_of
from pytest_initcheck.checks.wrong_fan import WrongFan
from pytest_initcheck.errors import InitcheckError, InitcheckFailure
from pytest_initcheck.evidence.construction import Built, ConstructionFacts
from pytest_initcheck.evidence.write import Write
from pytest_initcheck.ledger import Recorded, record
from pytest_initcheck.records import RANK, Finding, RunRecord, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_COLUMNS = [
    "name", "kind", "shape", "dtype", "trainable", "unwritten", "order", "call", "share", "draws",
    "default", "status", "file", "line", "function",
]  # fmt: skip


class Construction(Recorded):
    """The ``model`` that a factory built, and the ledger of its parameters and buffers.

    ``facts.tensors`` has a `Built` for each, in the order of the model. What of it nobody asks for
    is not worked out.
    """

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with how the tensors came to their values, most severe first."""
        checks = WrittenValues(), Draws(), DrawLaw(), OddBuffers(), WrongFan()
        found = [finding for check in checks for finding in check.judge(self.facts)]
        return tuple(sorted(found, key=lambda finding: RANK[finding.severity]))

    @property
    def verdict(self) -> Verdict:
        """ "fail" with any error, "warn" with any warning, else "pass"."""
        return verdict_of(self.findings)

    def of(self, name: str) -> Built:
        """What is known of one parameter or buffer.

        Raises:
            InitcheckError: the model has none of that name.
        """
        for built in self.facts.tensors:
            if built.name == name:
                return built
        known = ", ".join(built.name for built in self.facts.tensors[:5])
        raise InitcheckError(f"no parameter or buffer is named {name!r}; the first are {known}")

    def assert_healthy(self) -> None:
        """Raise where something of it was never written.

        Raises:
            InitcheckFailure: there is a finding that is an error.
        """
        if self.verdict == "fail":
            raise InitcheckFailure("\n".join(str(finding) for finding in self.findings))

    def to_frame(self) -> pd.DataFrame:
        """One row per write, in order; one without a call where nothing was ever written.

        ``status`` is "in effect", "overwritten" by a later write, "lost" on a temporary, "replaced"
        with the tensor that stood there before, or "never written"; ``share`` the part of the
        tensor that the call wrote to, ``unwritten`` the part that none did, both from 0 to 1.
        """
        import pandas as pd

        rows = [row for built in self.facts.tensors for row in _rows(built)]
        frame: pd.DataFrame = pd.DataFrame(rows, columns=_COLUMNS)
        return frame

    def run_record(self) -> RunRecord:
        """The ledger as the record that reports hold."""
        return RunRecord(ledger=self.facts.stories())

    def plot(self) -> Figure:
        """How many values each call wrote that is in effect, by its name."""
        from pytest_initcheck.report.figures import bars_figure

        frame = self.to_frame()
        sizes = {built.name: math.prod(built.shape) for built in self.facts.tensors}
        frame["values"] = [sizes[name] for name in frame["name"]]
        frame["call"] = frame["call"].fillna("never written")
        kept = frame[frame["status"].isin(("in effect", "never written"))]
        written = kept.groupby("call", sort=False)["values"].sum()
        return bars_figure(
            dict(written), "parameters and buffers", f"{self.verdict}: what wrote them"
        )

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import table_of

        return table_of([f"verdict: {self.verdict}", *map(str, self.findings)], self.to_frame())

    def __repr__(self) -> str:
        told = f"{self.verdict}: {len(self.findings)} findings"
        return f"Construction({told}, {len(self.facts.tensors)} tensors)"

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}", *(str(finding) for finding in self.findings)]
        return "\n".join(
            [*lines, *(f"{built.name}: {_told(built)}" for built in self.facts.tensors)]
        )


def construction(factory: Callable[[], Any]) -> Construction:
    """Build a model, and record every write to its parameters and buffers.

    It is built as ``factory()`` would build it, from the same random numbers; nothing of the model
    or of torch stays changed. The ledger is made of what was noted when the model, the ledger or
    the findings are first asked for.

    Args:
        factory: builds and returns the model: a class, a function, a lambda.

    Raises:
        InitcheckError: it is no factory, or what it returns is no ``nn.Module``. What the factory
            itself raises passes through.
    """
    model, facts = _recorded(factory)
    return Construction(model=model, facts=facts)


def recorded(factory: Any) -> tuple[nn.Module, ConstructionFacts]:
    """The model that a factory builds, and its ledger.

    Raises:
        InitcheckError: it is no factory, or what it returns is no ``nn.Module``.
    """
    model, facts = _recorded(factory)
    return model, facts()


def _recorded(factory: Any) -> tuple[nn.Module, Callable[[], ConstructionFacts]]:
    if isinstance(factory, nn.Module) or not callable(factory):
        raise InitcheckError(
            f"factory is a {type(factory).__name__}; pass what builds the model, for example "
            "lambda: Net(width=64), not the model, which has been built already"
        )
    model, facts = record(factory)
    if not isinstance(model, nn.Module):
        raise InitcheckError(
            f"the factory returned a {type(model).__name__}; let it return the nn.Module"
        )
    return model, facts


def _rows(built: Built) -> list[dict[str, Any]]:
    effective = len(built.writes) - len(built.effective)
    told = [("replaced", write) for write in built.replaced]
    told += [("overwritten", write) for write in built.writes[:effective]]
    told += [("in effect", write) for write in built.writes[effective:]]
    told += [("lost", write) for write in built.lost]
    rows = [_row(built, order, status, write) for order, (status, write) in enumerate(told)]
    return rows or [
        _row(built, 0, "never written" if built.is_known else "unknown", Write(call=""))
    ]


def _row(built: Built, order: int, status: str, write: Write) -> dict[str, Any]:
    return {
        "name": built.name,
        "kind": built.kind,
        "shape": built.shape,
        "dtype": built.dtype,
        "trainable": built.trainable,
        "unwritten": built.unwritten,
        "order": order,
        "call": write.what,
        "share": write.share if write.call else 0.0,
        "draws": write.draws,
        "default": write.is_default,
        "status": status,
        "file": write.file,
        "line": write.line,
        "function": write.function,
    }


def _told(built: Built) -> str:
    if not built.is_known:
        return "not recorded"
    return str(built) or "never written"
