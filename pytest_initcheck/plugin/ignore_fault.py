"""What is wrong with ignores, wherever they are written."""

from __future__ import annotations

from typing import Any


def ignore_fault(value: Any) -> str:
    """What is wrong with ignores; empty where nothing is."""
    from pytest_initcheck.errors import InitcheckError
    from pytest_initcheck.ignores import parse

    try:
        parse(value)
    except InitcheckError as error:
        return str(error)
    return ""
