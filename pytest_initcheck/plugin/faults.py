"""What is wrong with a value of an option, the ini file or a marker, in words."""

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


def select_fault(value: object) -> str:
    """What is wrong with a selection; empty where nothing is."""
    from pytest_initcheck.checks.selection import parse_select
    from pytest_initcheck.errors import InitcheckError

    try:
        parse_select(value)  # type: ignore[arg-type]
    except (InitcheckError, TypeError) as error:
        return str(error)
    return ""
