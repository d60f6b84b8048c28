"""Fill the page's template; all that it shows comes escaped out of jinja2."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template

from pytest_initcheck.records import SessionRecord
from pytest_initcheck.report import charts, summary
from pytest_initcheck.report.metrics import mean_text
from pytest_initcheck.report.profile import profile_svg
from pytest_initcheck.report.view import page_view

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" '
    'rx="7" fill="#3b4cca"/><path d="M5 25v-3h4v-6h4V8h6v8h4v6h4v3z" fill="#fff"/></svg>'
)


def render_page(session: SessionRecord) -> str:
    """The whole page: one file that loads nothing."""
    css, script = _asset("page.css"), _asset("page.js")
    # Only this style and this script may run: a hash each, and nothing from any network.
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(css)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    icon = base64.b64encode(ICON.encode()).decode()
    return _template().render(
        page=page_view(session), css=css, script=script, policy=policy, icon=icon
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        histogram=charts.histogram_svg,
        lines=charts.line_svg,
        strip=charts.strip_svg,
        profile=lambda finding: profile_svg(finding.profile, finding.limit),
        duration=duration,
        number=lambda value: "–" if value is None else f"{value:.4g}",
        mean=mean_text,
    )
    environment.globals["words"] = charts.WORDS
    return environment.from_string(_asset("page.html.j2"))


def _shown(value: object) -> object:
    # Markup is a subclass of str and already safe; everything else may hold control characters.
    return summary.clean(value) if type(value) is str else value


def _asset(name: str) -> str:
    return (resources.files("pytest_initcheck.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def duration(seconds: float) -> str:
    """ "0.35 s" or "2 min 5 s"."""
    if not 0 <= seconds < 1e9:
        return "–"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
