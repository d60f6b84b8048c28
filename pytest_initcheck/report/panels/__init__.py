"""The panels of the page: each shows one thing of an entry, in a section of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.extensions import PANEL_PROTOCOL as PROTOCOL
from pytest_initcheck.extensions import PANELS, Extension, extensions
from pytest_initcheck.records import Entry
from pytest_initcheck.report.panels.attention_heads import AttentionHeads
from pytest_initcheck.report.panels.exponents import Exponents
from pytest_initcheck.report.panels.how_measured import HowMeasured
from pytest_initcheck.report.panels.ledger import Ledger
from pytest_initcheck.report.panels.noticed import Noticed
from pytest_initcheck.report.panels.panel import (
    Drawing,
    Facts,
    Panel,
    Part,
    Table,
    Text,
)
from pytest_initcheck.report.panels.residual_streams import ResidualStreams
from pytest_initcheck.report.panels.routers import Routers

__all__ = [
    "PROTOCOL",
    "Drawing",
    "Facts",
    "Panel",
    "PanelView",
    "Panels",
    "Part",
    "Table",
    "Text",
    "registered",
]
_KINDS = (Text, Facts, Table, Drawing)


def registered() -> list[Panel]:
    """The built-in panels in the order of the page.

    This list is their registration: a new panel is one module, one import and one line here.
    """
    return [
        *(Exponents(), ResidualStreams(), AttentionHeads(), Routers()),
        *(HowMeasured(), Ledger(), Noticed()),
    ]


@dataclass(frozen=True)
class PanelView:
    """A panel of one entry, as the template draws it."""

    title: str
    parts: tuple[Part, ...]


@dataclass
class Panels:
    """All panels of a page. One that is broken becomes a note: the results are worth more."""

    panels: list[tuple[Panel, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def available(cls) -> Panels:
        """The built-in panels and those that other distributions bring."""
        found = cls([(panel, "pytest-initcheck") for panel in registered()])
        for extension in extensions(PANELS):
            try:
                found.panels += [(one, str(extension)) for one in _valid(extension)]
            except InitcheckError as error:
                found.notes.append(f"a panel is not shown: {error}")
        return found

    def of(self, entry: Entry) -> tuple[PanelView, ...]:
        """What they show of an entry; those that show nothing are left out."""
        views = [_view(panel, owner, entry) for panel, owner in self.panels]
        return tuple(view for view in views if view.parts)


def _valid(extension: Extension) -> list[Any]:
    found = list(extension.objects("parts"))
    for one in found:
        if not isinstance(getattr(one, "title", None), str) or not one.title:
            raise extension.fault("a panel has a title, which is a text")
    return found


def _view(panel: Panel, owner: str, entry: Entry) -> PanelView:
    try:
        return PanelView(panel.title, tuple(_plain(part) for part in panel.parts(entry) or ()))
    except Exception as error:  # It is somebody else's code, and the page is not.
        told = f"{owner} could not draw this: {type(error).__name__}: {error}"
        return PanelView(panel.title, (Text(told),))


def _plain(part: Part) -> Part:
    """The part with every value as plain text, so that nothing of it passes for markup."""
    if isinstance(part, Facts):
        return Facts(tuple((_text(name), _text(value)) for name, value in part.items))
    if isinstance(part, Table):
        return Table(head=_texts(part.head), rows=tuple(_texts(row) for row in part.shown))
    if isinstance(part, Drawing):
        return Drawing(_text(part.title), _text(part.svg))
    if isinstance(part, Text):
        return Text(_text(part.text))
    names = ", ".join(kind.__name__ for kind in _KINDS)
    raise InitcheckError(f"a panel yields {names}, not {type(part).__name__}")


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(_text(value) for value in values)


def _text(value: object) -> str:
    # Markup is a subclass of str that the template would not escape; its characters are plain.
    return "".join(str(value))
