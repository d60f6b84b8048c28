"""The IDX file format of MNIST: a big-endian header, then one array; plain or gzip-compressed."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_initcheck.errors import DataError

# Third byte of the file -> element type (http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT").
CODES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
Array = npt.NDArray[Any]


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, in native byte order, of the shape that the header states.

    Args:
        path: a plain or gzip-compressed IDX file; the content decides which, not the name.

    Raises:
        DataError: the file is missing, unreadable, not IDX, truncated, or longer than its header
            says.
    """
    content = _content(Path(path))
    kind, shape, start = _header(path, content)
    expected = math.prod(shape) * kind.itemsize
    found = len(content) - start
    if found != expected:
        fault = "truncated" if found < expected else "too long"
        sizes = "x".join(map(str, shape)) or "one"
        raise DataError(
            f"{path}: {fault}: the header announces {sizes} values of {kind.itemsize} bytes, "
            f"which is {expected} bytes, and {found} follow"
        )
    try:
        values = np.frombuffer(content, kind, offset=start) if expected else np.empty(0, kind)
        return values.reshape(shape).astype(kind.newbyteorder("="))
    except ValueError as error:
        raise DataError(f"{path}: corrupt header: {len(shape)} dimensions: {error}") from None


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path}: the gzip stream is corrupt or truncated: {error}") from None


def _header(path: object, content: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    if len(content) < 4:
        raise DataError(f"{path}: truncated: an IDX file has at least 4 bytes, this {len(content)}")
    if content[:2] != b"\0\0" or content[2] not in CODES:
        raise DataError(
            f"{path}: not an IDX file: it starts with 0x{content[:4].hex()}, where 0x0000, "
            f"a type code ({', '.join(f'{code:02x}' for code in CODES)}) "
            "and the number of dimensions belong"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path}: truncated within the sizes of its {content[3]} dimensions")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    return np.dtype(">" + CODES[content[2]]), shape, start


def write_idx(path: str | os.PathLike[str], values: Array) -> None:
    """Write an array as an IDX file, compressed where the name ends in ``.gz``.

    Raises:
        DataError: IDX has no code for the array's element type, or no room for its shape.
    """
    values = np.asarray(values)
    codes = {np.dtype(name): code for code, name in CODES.items()}
    code = codes.get(values.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(kind) for kind in codes)
        raise DataError(f"{path}: IDX cannot hold {values.dtype}; it holds {known}")
    try:
        header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    except struct.error:
        raise DataError(f"{path}: IDX cannot hold the shape {values.shape}") from None
    content = header + values.astype(values.dtype.newbyteorder(">")).tobytes()
    if str(path).endswith(".gz"):
        # No time stamp, so that the same data gives the same file.
        content = gzip.compress(content, 9, mtime=0)
    Path(path).write_bytes(content)
