"""What depends on what: which outputs moved when one sample, one position or one input did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# So many columns are asked for each sample: one in each pass.
ASKED_PER_SAMPLE = 3
# A rectifier is shut for half of the samples: for so many in a row with a chance of a thousandth.
ENOUGH = 10


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Where values of several samples, or of several positions, come together first.

    ``owner`` is the module that ran the ``operator``, "" the model itself; ``axis`` the one along
    which they came together, None where it is not known. ``fault`` says what is wrong with it,
    ``explained`` what is intended about it; both are empty where that cannot be told.
    """

    owner: str
    operator: str
    axis: int | None = None
    fault: str = ""
    explained: str = ""

    def __str__(self) -> str:
        axis = "" if self.axis is None else f" along axis {self.axis}"
        reason = self.fault or self.explained
        told = f": {reason}" if reason else ""
        return f"{self.owner or 'the model itself'}, {self.operator}{axis}{told}"


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Which samples' outputs moved when the sample ``perturbed`` of ``count`` was replaced.

    ``axis`` is where the inputs count samples, which ``is_certain`` where the targets say so, or
    where the other axis leaks as well. ``silent`` are samples that were replaced before, and moved
    nothing. ``exchanges`` are where samples come together, empty where
    no other sample's output moved, or where it was not found out. ``is_placed``: samples get
    other outputs at other places of the batch.
    """

    count: int
    axis: int
    perturbed: int
    moved: tuple[int, ...]
    exchanges: tuple[Exchange, ...] = ()
    is_certain: bool = True
    silent: tuple[int, ...] = ()
    is_placed: bool = False

    @property
    def swapped(self) -> str:
        """What is wrong where the outputs belong to other samples than their own, "" if nothing.

        Where an exchange is meant, such as a permutation that is drawn, nothing is said.
        """
        is_meant = any(exchange.explained for exchange in self.exchanges)
        if not self.is_certain or not self.leaked or is_meant or self.fault is not None:
            return ""
        if self.perturbed not in self.moved:
            return "the outputs come in another order than the samples"
        if self.silent:
            return f"the outputs depend on sample {self.perturbed}, and not on their own"
        return ""

    @property
    def leaked(self) -> tuple[int, ...]:
        """The other samples whose output moved."""
        return tuple(sample for sample in self.moved if sample != self.perturbed)

    @property
    def fault(self) -> Exchange | None:
        """The first exchange that nothing intends."""
        faults = (exchange for exchange in self.exchanges if exchange.fault)
        return next(faults, None) if self.is_certain and self.leaked else None

    def __str__(self) -> str:
        told = f"samples: replacing {self.perturbed} of {self.count} moved the output of "
        told += _ranges(self.moved) or "none"
        return "\n".join([told, *(f"  through {exchange}" for exchange in self.exchanges)])


@dataclass(frozen=True, kw_only=True)
class Causality:
    """Which positions' outputs moved when the position ``perturbed`` of ``length`` was replaced.

    ``declared`` says who says that the model is causal, which ``is_certain`` where nothing speaks
    against it; ``place`` is the input that was changed,
    ``axis`` its time axis, ``exchange`` where an earlier position takes in a later one.
    """

    length: int
    perturbed: int
    moved: tuple[int, ...]
    place: str
    declared: str = ""
    is_certain: bool = True
    axis: int = 1
    exchange: Exchange | None = None

    @property
    def earlier(self) -> tuple[int, ...]:
        """The positions before the one that was replaced whose output moved."""
        return tuple(position for position in self.moved if position < self.perturbed)

    def __str__(self) -> str:
        told = f"positions: replacing {self.perturbed} of {self.length} in {self.place} moved "
        told += f"the output at {_ranges(self.moved)}" if self.moved else "no output"
        told += f" (causal: {self.declared})"
        return told if self.exchange is None else f"{told}\n  through {self.exchange}"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Those of the ``count`` columns of the table at ``place`` that nothing reads."""

    place: str
    count: int
    unread: tuple[int, ...]

    @property
    def named(self) -> str:
        """ "columns 1 to 3, 5"."""
        word = "columns" if len(self.unread) > 1 else "column"
        return f"{word} {_ranges(self.unread)}"

    def __str__(self) -> str:
        return f"{self.named} of {self.place}"


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """What moves when one sample, one position or one input is perturbed.

    ``samples`` and ``causality`` are None where the question was not asked; ``not_asked`` says
    why. ``read`` holds the inputs whose change moved the output or the loss, ``unread`` those
    whose change moved neither; ``columns`` those of inputs that are read otherwise.
    """

    samples: Samples | None = None
    causality: Causality | None = None
    read: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    columns: tuple[Columns, ...] = ()
    not_asked: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [str(part) for part in (self.samples, self.causality) if part is not None]
        lines += [f"{place}: read" for place in self.read]
        lines += [f"{place}: nothing reads it" for place in self.unread]
        lines += [f"{table.place}: nothing reads {table.named}" for table in self.columns]
        return "\n".join([*lines, *(f"not asked: {reason}" for reason in self.not_asked)])

    def to_frame(self) -> pd.DataFrame:
        """One row per question and index that was asked about: what was changed, what moved."""
        import pandas as pd

        rows: list[dict[str, str | bool]] = []
        if self.samples is not None:
            rows += _rows("sample", self.samples.count, self.samples)
        if self.causality is not None:
            rows += _rows("position", self.causality.length, self.causality)
        for place in (*self.read, *self.unread):
            is_read = place in self.read
            rows.append({"question": "input", "changed": place, "output": "", "moved": is_read})
        for table in self.columns:
            for column in table.unread:
                named = f"{table.place}[..., {column}]"
                rows.append({"question": "column", "changed": named, "output": "", "moved": False})
        columns = ["question", "changed", "output", "moved"]
        frame: pd.DataFrame = pd.DataFrame(rows, columns=columns)
        return frame

    def __repr__(self) -> str:
        return f"Dependencies({len(self.read)} inputs read, {len(self.unread)} not)"

    def plot(self) -> Figure:
        """For each question, which share of what was looked at moved."""
        from pytest_initcheck.report.figures import bars_figure

        moved = self.to_frame().groupby("question", sort=False)["moved"].mean()
        return bars_figure(dict(moved), "share that moved", "what depends on what was changed")

    def _repr_html_(self) -> str:
        from pytest_initcheck.report.notebook import table_of

        return table_of(str(self).splitlines(), self.to_frame())


def _rows(question: str, count: int, found: Samples | Causality) -> list[dict[str, str | bool]]:
    changed = str(found.perturbed)
    return [
        {"question": question, "changed": changed, "output": str(i), "moved": i in found.moved}
        for i in range(count)
    ]


def _ranges(positions: tuple[int, ...]) -> str:
    """ "0 to 3, 7" of the positions 0, 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][-1] == position - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
