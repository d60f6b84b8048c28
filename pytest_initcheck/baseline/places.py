"""Where the baselines of a test file lie below their folder, and the way back."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

_PARENT, _ROOT, _UNNAMED = "_outside", "_root", "_unnamed"
_RESERVED = frozenset({_PARENT, _ROOT, _UNNAMED})
_SUFFIX = ".json"
# What some disk refuses in a name, what would make two names one, and half characters.
_UNSAFE = re.compile('[%:<>"|?*\\\\\x00-\x1f\x7f\ud800-\udfff]|[. ]$')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def file_of(path: str) -> PurePosixPath:
    """The file for the tests in ``path``; two paths never share one, and none leads out."""
    *folders, name = PurePosixPath(path).parts or (_UNNAMED,)
    named = _escaped(name.removesuffix(".py")) if name != ".." else _PARENT
    return PurePosixPath(*(_folder(part) for part in folders), named + _SUFFIX)


def _folder(part: str) -> str:
    # A test outside of the root has "..", which must not lead out of the folder.
    if part == "..":
        return _PARENT
    return _ROOT if part in ("/", "//") else _escaped(part)


def _escaped(part: str) -> str:
    safe = _UNSAFE.sub(lambda found: _percent(found[0]), part)
    is_taken = part in _RESERVED or _DEVICE.match(safe)
    return _percent(safe[0]) + safe[1:] if is_taken else safe


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def paths_of(file: PurePosixPath) -> tuple[str, ...]:
    """The test files that ``file`` may belong to, likeliest first, where it does not say so."""
    name = _plain(file.name.removesuffix(_SUFFIX))
    folders = [{_PARENT: "..", _ROOT: "/"}.get(part) or _plain(part) for part in file.parts[:-1]]
    names = [name + ".py", name]
    if re.search(r"\.[A-Za-z]\w*$", name):
        names.reverse()
    return tuple(str(PurePosixPath(*folders, each)) for each in names)


def _plain(part: str) -> str:
    encoded = unquote_to_bytes(part.encode("utf-8", "surrogatepass"))
    try:
        return encoded.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # No name that was made here.
        return part


def folded(path: PurePosixPath) -> str:
    """Equal for two names that some disks take for one: they differ by case or composition only."""
    return unicodedata.normalize("NFC", str(path)).casefold()


class ProjectPlace:
    """Where a project lies beside the folder that keeps its baselines.

    Of a folder above the project's root, as one that several packages share, the paths start where
    the folder lies: those of two packages differ, and are the same from whichever root.
    """

    def __init__(self, folder: Path, root: Path | None) -> None:
        is_above = root is not None and folder.parent in root.parents
        self._name = root.relative_to(folder.parent).as_posix() if root and is_above else ""

    def path(self, test_file: str) -> str:
        """A path from the root as it is kept."""
        if not self._name:
            return test_file
        return posixpath.normpath(posixpath.join(self._name, test_file))

    def test_file(self, path: str) -> str:
        """A path that is kept, from the root."""
        return posixpath.relpath(path, self._name) if self._name and path[:1] != "/" else path
