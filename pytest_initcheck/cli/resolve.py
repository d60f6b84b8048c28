"""``initcheck baselines resolve``: one side of a merge conflict in a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_initcheck.baseline.conflicts import resolved
from pytest_initcheck.baseline.text import decode_utf8
from pytest_initcheck.cli import OK
from pytest_initcheck.cli.project import baselines_of
from pytest_initcheck.errors import InitcheckError


def resolve(arguments: argparse.Namespace) -> int:
    """Replace a file in conflict by one side of it."""
    baselines, _ = baselines_of(arguments)
    path = Path(arguments.file).absolute()
    if not path.is_relative_to(baselines.directory.absolute()):
        raise InitcheckError(f"{arguments.file}: is no file below {baselines.directory}")

    def one_side(content: bytes) -> bytes:
        text = decode_utf8(content, arguments.file)
        kept = resolved(text, arguments.side, arguments.file)
        return kept.encode("utf-8", "backslashreplace")

    baselines.rewrite(path, one_side)
    print(f"kept {arguments.side} in {arguments.file}; now: git add {arguments.file}")
    return OK
