"""The command line: ``initcheck check``, ``initcheck baselines …``, ``initcheck report``."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from pytest_initcheck.errors import InitcheckError

OK, FOUND, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 1 (a verdict or difference to look at) or 2 (wrong use).

    ``argv`` defaults to the arguments of the process. Errors are one line on stderr.
    """
    from pytest_initcheck.cli.parser import parse_arguments

    _show_all_characters()
    try:
        arguments = parse_arguments(sys.argv[1:] if argv is None else list(argv))
        return int(arguments.command(arguments))
    except InitcheckError as error:
        print(f"initcheck: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("initcheck: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the pipe has gone (head, less); Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE


def _show_all_characters() -> None:
    # A test's id may hold what the terminal's encoding has no bytes for.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
