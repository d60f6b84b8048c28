"""Fill the page's template; all that it shows comes escaped out of jinja2."""

from __future__ import annotations

import html

from pytest_initcheck.records import SessionRecord
from pytest_initcheck.report.terminal import terminal_lines


def render_page(session: SessionRecord) -> str:
    """The whole page."""
    lines = html.escape("\n".join(terminal_lines(session)))
    return f'<!doctype html><html lang="en"><title>initcheck</title><pre>{lines}</pre></html>\n'
