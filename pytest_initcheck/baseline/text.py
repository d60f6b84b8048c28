"""Text to JSON data, strictly: what the standard parser lets pass silently is an error here."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from pytest_initcheck.baseline import json_lines
from pytest_initcheck.errors import BaselineError
from pytest_initcheck.serialization import DuplicateKey, strict_json

_MARKER = re.compile(r"^(<{7}|={7}|>{7}|\|{7})", re.M)


def error_at(file: str, line: int, message: str) -> BaselineError:
    """The error that names file and line."""
    return BaselineError(f"{file}:{line}: {message} (line {line} of the baseline)")


def decode_utf8(content: bytes, file: str) -> str:
    """The text of a file.

    Raises:
        BaselineError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise error_at(file, line, "not UTF-8 text; save the file as UTF-8") from None


def load(text: str, file: str) -> Any:
    """The data in a JSON text.

    Raises:
        BaselineError: it is empty, holds merge conflict markers, is no JSON, says a key twice, or
            has a number that is not finite.
    """
    if not text.strip():
        raise error_at(file, 1, "the file is empty")
    marker = _MARKER.search(text)
    if marker:
        line = text.count("\n", 0, marker.start()) + 1
        raise error_at(
            file,
            line,
            f"unresolved merge conflict ({marker[0]}); keep one side of it with: initcheck "
            f"baselines resolve {shlex.quote(file)} --ours (or --theirs)",
        )
    try:
        return strict_json(text)
    except json.JSONDecodeError as error:
        raise error_at(file, _line_of_error(error), f"not valid JSON: {error.msg}") from None
    except DuplicateKey as error:
        raise error_at(file, json_lines.line_of_duplicate(text), str(error)) from None
    except RecursionError:
        raise error_at(file, json_lines.line_too_deep(text), "nested too deep") from None
    except ValueError as error:
        raise error_at(file, _line_of_number(text), str(error)) from None


def _line_of_error(error: json.JSONDecodeError) -> int:
    # A cut file ends in the line of its last character, not in the empty line after it.
    return error.doc.count("\n", 0, min(error.pos, len(error.doc.rstrip()))) + 1


def _line_of_number(text: str) -> int:
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: "~" * len(m[0]), text)
    found = re.search(r"NaN|-?Infinity|\d{4000,}", outside)
    return text.count("\n", 0, found.start()) + 1 if found else 1
