"""How a record shows itself in a notebook: those above who can draw have said how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WAYS: dict[str, Callable[[Any], Any]] = {}


def register(**ways: Callable[[Any], Any]) -> None:
    """Say how records are drawn (``plot``), tabled (``to_frame``) and shown (``html``)."""
    _WAYS.update(ways)


def shown(way: str, value: Any) -> Any:
    """A value in one of the registered ways.

    Raises:
        InitcheckError: nobody has said how.
    """
    if way not in _WAYS:
        raise InitcheckError("import pytest_initcheck.report first, which draws records")
    return _WAYS[way](value)


class Displayed:
    """Drawn, tabled, and shown by notebooks as the report shows it."""

    def plot(self) -> Figure:
        """A figure of it; ``figure.savefig("name.svg")`` writes it as vectors."""
        figure: Figure = shown("plot", self)
        return figure

    def to_frame(self) -> pd.DataFrame:
        """Its values as a table, one row each."""
        frame: pd.DataFrame = shown("to_frame", self)
        return frame

    def _repr_html_(self) -> str:
        html: str = shown("html", self)
        return html
