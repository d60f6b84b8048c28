"""One writer at a time below a folder, over all processes of a machine."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_initcheck.errors import BaselineError

# An update takes well under a second; who holds the lock for longer than this hangs.
LONGEST_WAIT = 60.0
_PAUSE = 0.02
# A folder that goes again each time as soon as it was made is on a disk that has no place for it.
_MOST_REMOVALS = 50
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder, which is made if need be, and goes again if nothing was put into it.

    The system lets go of it when the process ends, however it ends, and no file is left.

    Raises:
        BaselineError: another process does not let go of it, or the folder cannot be made.
    """
    made = _missing(folder)
    try:
        handle = _acquired(folder)
    except OSError as error:
        _remove_empty(made)
        raise BaselineError(f"{folder}: cannot be written: {error.strerror or error}") from None
    try:
        yield
    finally:
        _remove_empty(made)
        os.close(handle)


def _missing(folder: Path) -> list[Path]:
    return [each for each in (folder, *folder.parents) if not each.exists()]


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _acquired(folder: Path) -> int:
    give_up = time.monotonic() + LONGEST_WAIT
    while True:
        handle = _made_and_opened(folder)
        if _took(handle) and _is_still(folder, handle):
            return handle
        os.close(handle)
        if time.monotonic() > give_up:
            raise BaselineError(
                f"{folder}: another process has been writing there for {LONGEST_WAIT:.0f} s"
            )
        time.sleep(_PAUSE)


def _made_and_opened(folder: Path) -> int:
    for _ in range(_MOST_REMOVALS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _opened(folder)
        except FileNotFoundError:  # Another process, which put nothing into it, has removed it.
            time.sleep(_PAUSE)
    folder.mkdir(parents=True, exist_ok=True)
    return _opened(folder)


if sys.platform == "win32":
    import hashlib
    import msvcrt
    import tempfile

    def _opened(folder: Path) -> int:
        # A folder cannot be locked there.
        real = os.path.realpath(folder).casefold()
        name = hashlib.sha256(real.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        path = Path(tempfile.gettempdir(), f"initcheck-{name}.lock")
        return os.open(path, os.O_RDWR | os.O_CREAT)

    def _took(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _is_still(folder: Path, handle: int) -> bool:
        return folder.is_dir()

else:
    import fcntl

    def _opened(folder: Path) -> int:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def _took(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Where the disk knows no locks, going on is what was done without them.
            return error.errno not in _HELD
        return True

    def _is_still(folder: Path, handle: int) -> bool:
        # Another process may have removed the folder, and a third one made it anew.
        try:
            return os.path.samestat(os.fstat(handle), os.stat(folder))
        except OSError:
            return False
