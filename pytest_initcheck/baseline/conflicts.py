"""A file with merge conflicts: one side of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pytest_initcheck.baseline import format
from pytest_initcheck.baseline.text import error_at
from pytest_initcheck.errors import BaselineError

Side = Literal["ours", "theirs"]
_NEXT = {"<" * 7: "ours", "|" * 7: "base", "=" * 7: "theirs", ">" * 7: ""}


def resolved(text: str, side: Side, file: str) -> str:
    """The text with the chosen side of every conflict, which is then a valid baseline.

    Raises:
        BaselineError: it has no conflict, its markers do not fit each other, or the sides do not
            fit what was merged around them.
    """
    kept = "".join(_lines(text, side, file))
    if kept == text:
        raise BaselineError(f"{file}: there is no merge conflict in it")
    try:
        format.parse(kept, file)
    except BaselineError as error:
        raise BaselineError(
            f"{error}; the two sides are woven into each other: take the whole file of one with "
            f"git checkout --{side}, and record the other's tests anew"
        ) from None
    return kept


def _lines(text: str, side: Side, file: str) -> Iterator[str]:
    place = ""
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        after = _NEXT.get(line[:7])
        if after is None:
            if place in ("", side):
                yield line
            continue
        if (place == "") != (after == "ours"):
            raise error_at(file, number, f"the marker {line[:7]} does not fit those before it")
        place = after
    if place:
        raise error_at(file, number, "the last conflict has no end")
