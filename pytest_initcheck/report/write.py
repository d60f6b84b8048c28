"""Write a session as run.json and as one HTML page; read run.json back."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.files import replace
from pytest_initcheck.records import SessionRecord
from pytest_initcheck.serialization import decode, encode, strict_json

if TYPE_CHECKING:
    from pytest_initcheck.report.against import Against

FORMAT = 1  # 1: the first; raise it when a field changes its meaning
MOST_BYTES = 1 << 30
DATA_NAME = "run.json"
PAGE_NAME = "report.html"


def run_json(session: SessionRecord) -> str:
    """The session as JSON text, one line per test, in ASCII, NaN and inf as strings."""
    data = encode(session)
    tests = data.pop("tests", [])
    head = ",\n".join(f"{_dumps(key)}: {_dumps(value)}" for key, value in data.items())
    body = ",\n".join(_dumps(test) for test in tests)
    return f'{{\n{head},\n"tests": [\n{body}\n]\n}}\n'


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    # Users record numpy and torch scalars; both give a Python number by ``item``.
    item = getattr(value, "item", None)
    if item is None:
        raise InitcheckError(
            f"a record holds a {type(value).__name__}, which cannot be written as JSON; "
            "record numbers, strings, lists and dicts"
        )
    return encode(item())


def read_run(path: str | os.PathLike[str]) -> SessionRecord:
    """The session stored in a run.json.

    Raises:
        InitcheckError: the file is missing, corrupt, truncated or of another format version.
    """
    file = Path(path)
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InitcheckError(f"{file}: has more than {MOST_BYTES >> 20} MB; pass a run.json")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InitcheckError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InitcheckError(f"{file}: is not UTF-8 text; pass a run.json") from None
    return parse_run(text, str(file))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: trees have none, and it would walk them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
def parse_run(text: str, name: str = DATA_NAME) -> SessionRecord:
    """The session in the text of a run.json; ``name`` is what an error calls it."""
    try:
        data = strict_json(text)
    except json.JSONDecodeError as error:
        raise InitcheckError(
            f"{name}:{error.lineno}: not valid JSON ({error.msg}); is the file complete?"
        ) from None
    except (RecursionError, ValueError) as error:
        raise InitcheckError(f"{name}: not a run.json ({error})") from None
    if not isinstance(data, dict) or "format" not in data:
        raise InitcheckError(f"{name}: not a run.json: it has no field 'format'")
    if data["format"] != FORMAT or isinstance(data["format"], bool):
        raise InitcheckError(
            f"{name}: has format {data['format']!r}, this version of pytest-initcheck reads "
            f"{FORMAT}; write it again with this version"
        )
    try:
        return decode(SessionRecord, data)
    except (InitcheckError, ArithmeticError, ValueError, RecursionError) as error:
        raise InitcheckError(f"{name}: {error}") from None


def write(session: SessionRecord, path: str | os.PathLike[str], source: Path | None = None) -> Path:
    """Write the page to ``path`` and ``run.json`` beside it; return the page's path.

    ``path`` is a file, or an existing folder, which then gets ``report.html``. The page shows
    what stands in run.json, so that ``initcheck report run.json`` gives the same bytes. Each file
    appears whole or not at all. ``source`` is the file that the session was read from, which is
    left as it is.

    Raises:
        InitcheckError: the path cannot be written.
    """
    page = page_path(path)
    beside = page.with_name(DATA_NAME)
    try:
        if source is None or not beside.exists() or not beside.samefile(source):
            replace(beside, run_json(session))
        _write_page(page, session)
    except OSError as error:
        raise InitcheckError(f"cannot write the report {page}: {error.strerror or error}") from None
    return page


def _write_page(page: Path, session: SessionRecord) -> None:
    try:
        replace(page, render(session))
    except BaseException:
        # An older page would now lie beside data that it does not show.
        page.unlink(missing_ok=True)
        raise


def page_path(path: str | os.PathLike[str]) -> Path:
    """The file that ``--initcheck-report=path`` writes; a path without a suffix is a folder."""
    page = Path(path)
    if page.is_dir() or not page.suffix or str(path).endswith(("/", os.sep)):
        page = page / PAGE_NAME
    if page.name == DATA_NAME:
        raise InitcheckError(
            f"the report cannot be called {DATA_NAME}, which holds its data; "
            f"pass a path such as {page.with_name(PAGE_NAME)}"
        )
    return page


def render(session: SessionRecord, against: Against | None = None) -> str:
    """The page as text: HTML with its style, script and data inside.

    With ``against`` the comparisons are those of two runs, which it names.
    """
    from pytest_initcheck.report.page import render_page

    return render_page(session, against)
