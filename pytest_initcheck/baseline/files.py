"""Reads and writes whole files: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

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
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written: {error.strerror or error}") from None


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int:
    # A temporary file is readable by its owner only; a baseline is shared like any source file.
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    # The content is in place already; not every file system can sync a folder.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
