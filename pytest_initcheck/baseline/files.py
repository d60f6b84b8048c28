"""Reads, writes and deletes the files of baselines, and tells what prevents it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_initcheck import files
from pytest_initcheck.errors import BaselineError

MOST_BYTES = 64 << 20


def read(path: Path, root: Path) -> bytes | None:
    """The content of a file below ``root``; None where there is none.

    Raises:
        BaselineError: it cannot be read, is larger than ``MOST_BYTES``, or a link leads elsewhere.
    """
    _refuse_outside(path, root)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise BaselineError(f"{path}: cannot be read: it is no regular file")
        if found.st_size > MOST_BYTES:
            raise BaselineError(
                f"{path}: cannot be read: it has {found.st_size >> 20} MB, a baseline has at most "
                f"{MOST_BYTES >> 20}; split its test file, or record less"
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}") from None


def _refuse_outside(path: Path, root: Path) -> None:
    # Who can put a link into the folder could have any file of the user rewritten.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise BaselineError(
            f"{path}: is reached by a link that leads out of {root}, and links are not followed "
            "there; put the file itself in its place"
        )


def write(contents: Mapping[Path, bytes | None], root: Path) -> None:
    """Replace files below ``root``; those of content None are deleted, with folders left empty.

    All are written before the first is replaced, so that what fails or is interrupted by then
    changes none.

    Raises:
        BaselineError: that failed; the message names the file, which is as it was.
    """
    for path in contents:
        _refuse_outside(path, root)
    staged: list[files.Staged] = []
    try:
        for path, content in contents.items():
            if content is not None:
                with _told(path, "written"):
                    staged.append(files.stage(path, content))
        with files.uninterrupted():
            for each in staged:
                with _told(each.path, "written"):
                    files.commit(each)
            for path, content in contents.items():
                if content is None:
                    with _told(path, "deleted"):
                        path.unlink(missing_ok=True)
    finally:
        for each in staged:
            files.discard(each)
        for path in contents:
            _drop_empty(path, root)


@contextlib.contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BaselineError(f"{path}: cannot be {done}: {error.strerror or error}") from None


def _drop_empty(path: Path, root: Path) -> None:
    for folder in path.parents:
        if folder == root or root not in folder.parents:
            return
        try:
            folder.rmdir()
        except OSError:
            return
