"""Fill the page's template; all that it shows comes escaped out of jinja2 or through JSON."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from pytest_initcheck.records import SessionRecord
from pytest_initcheck.report.against import Against
from pytest_initcheck.report.texts import safe_text
from pytest_initcheck.report.view import page_view

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" '
    'rx="7" fill="#3b4cca"/><path d="M5 25v-3h4v-6h4V8h6v8h4v6h4v3z" fill="#fff"/></svg>'
)
ICON_SOURCE = f"data:image/svg+xml;base64,{base64.b64encode(ICON.encode()).decode()}"
# One script of several files, in this order.
SCRIPTS = ("base", "scale", "curves", "marks", "findings", "panels", "scenes", "list", "main")
STYLES = ("page", "drawing")


def render_page(session: SessionRecord, against: Against | None = None) -> str:
    """The whole page, of a run or of two: one file that loads nothing."""
    css = "".join(asset(f"css/{name}.css") for name in STYLES)
    script = "(() => {" + "".join(asset(f"js/{name}.js") for name in SCRIPTS) + "})();"
    # Only this style and this script may run: a hash each, and nothing from any network.
    policy = (
        f"default-src 'none'; img-src data:; style-src '{digest(css)}'; "
        f"script-src '{digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return template("page.html.j2").render(
        page=page_view(session, against), css=css, script=script, policy=policy, icon=ICON_SOURCE
    )


@functools.cache
def template(name: str) -> Template:
    """A template of this folder, which escapes all that is filled in."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = safe_text
    return environment.from_string(asset(name))


def asset(name: str) -> str:
    """The text of a file of this folder."""
    return (resources.files("pytest_initcheck.report") / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The hash by which a page's policy allows a style or a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
