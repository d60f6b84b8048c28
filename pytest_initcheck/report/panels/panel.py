"""What a panel of the page is: a title, and a function from an entry to plain parts."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from pytest_initcheck.records import Entry

MOST_ROWS = 500


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar = "text"


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    items: Sequence[tuple[str, str]]
    kind: ClassVar = "facts"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows below a head; the first column names the row. At most 500 rows are shown."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: ClassVar = "table"

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        """The rows that the page shows."""
        return self.rows[:MOST_ROWS]


@dataclass(frozen=True)
class Drawing:
    """An SVG file as text, shown as an image, in which no script of it can run."""

    title: str
    svg: str
    kind: ClassVar = "drawing"

    @property
    def source(self) -> str:
        """The address of the image."""
        return svg_source(self.svg)


Part: TypeAlias = Text | Facts | Table | Drawing


class Panel(Protocol):
    """A panel. Register an own one through the entry points ``pytest_initcheck.panels``."""

    title: str

    def parts(self, entry: Entry) -> Iterable[Part]:
        """What to show of the entry, escaped by the page; nothing leaves the panel out."""
        ...


def svg_source(svg: str) -> str:
    """An SVG file as the source of an ``img``."""
    data = base64.b64encode(svg.encode("utf-8", "backslashreplace")).decode("ascii")
    return f"data:image/svg+xml;base64,{data}"
