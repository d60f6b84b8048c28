"""Replaces whole files: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

_TEMPORARY = re.compile(r"\..*\.[a-z0-9_]{8}\.tmp", re.DOTALL)


class Staged(NamedTuple):
    """A content that is written whole, but not yet under its name."""

    temporary: Path
    path: Path


def replace(path: Path, content: str | bytes) -> None:
    """Write the file in one step, by a temporary one beside it; folders are made as needed.

    Raises:
        OSError: that failed; the old file is as it was, and nothing else is left behind.
    """
    commit(stage(path, content))


def append(path: Path, content: str) -> None:
    """Add the content to the end of the file in one step; folders are made as needed.

    What others append at the same time is not lost.

    Raises:
        OSError: that failed; the file is as long as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8", "backslashreplace")
    with open(path, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            written = file.write(data)
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
        if written != len(data):
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stage(path: Path, content: str | bytes) -> Staged:
    """Write the content to a temporary file beside ``path``; folders are made as needed.

    Raises:
        OSError: that failed, and no file is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path = Path(os.path.realpath(path))
    if isinstance(content, str):
        content = content.encode("utf-8", "backslashreplace")
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    staged = Staged(Path(name), path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
    except BaseException:
        discard(staged)
        raise
    return staged


def commit(staged: Staged) -> None:
    """Put the content in its place.

    Raises:
        OSError: that failed; the old file is as it was, and the temporary one is gone.
    """
    try:
        os.replace(staged.temporary, staged.path)
    except BaseException:
        discard(staged)
        raise
    _sync_folder(staged.path.parent)


def discard(staged: Staged) -> None:
    """Delete the temporary file, if it is still there."""
    with contextlib.suppress(OSError):
        staged.temporary.unlink()


def delete_staged(folder: Path) -> None:
    """Delete what killed processes staged below the folder; no other may be writing there."""
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back an interrupt from the keyboard until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if came and callable(before):
            before(*came[0])


def _mode(path: Path) -> int:
    # A temporary file is readable by its owner only; these are shared like any source file.
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
