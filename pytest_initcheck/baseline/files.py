"""Reads, writes and deletes the files of baselines, and tells what prevents it."""

from __future__ import annotations

from pathlib import Path

from pytest_initcheck import files
from pytest_initcheck.errors import BaselineError


def read(path: Path) -> bytes | None:
    """The content of a file; None where there is none.

    Raises:
        BaselineError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}") from None


def write(path: Path, content: bytes) -> None:
    """Replace the file in one step, by a temporary one beside it.

    Raises:
        BaselineError: that failed; the old file is as it was, and nothing else is left behind.
    """
    try:
        files.replace(path, content)
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from None


def remove(path: Path, root: Path) -> None:
    """Delete a file, and the folders below ``root`` that this leaves empty.

    Raises:
        BaselineError: the file cannot be deleted.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise BaselineError(f"{path}: cannot be deleted: {error.strerror or error}") from None
    for folder in path.parents:
        if folder == root or root not in folder.parents:
            return
        try:
            folder.rmdir()
        except OSError:
            return
