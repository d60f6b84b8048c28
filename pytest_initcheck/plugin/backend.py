"""--initcheck-backend and initcheck_backend: where the seeds of a test's experiments are run."""

from __future__ import annotations

from typing import Any

import pytest

OPTION = "--initcheck-backend"
INI = "initcheck_backend"
# What says how seeds are trained in this process, and with it that they are.
_OWN = ("engine", "batched")


def add(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Declare the option and the ini name."""
    group.addoption(
        OPTION,
        metavar="BACKEND",
        default=None,
        help="where run, sweep, escape and scaling do their seeds: loky, dask, dask://HOST:PORT, "
        f"ray, ray://HOST:PORT, or local (ini: {INI})",
    )
    parser.addini(
        INI,
        "where run, sweep, escape and scaling do their seeds (default: here)",
        default=None,
        type="string",
    )


def resolve(config: pytest.Config) -> str | None:
    """The backend that the command line, or else the ini file, names; nothing is imported.

    Raises:
        pytest.UsageError: none is called so.
    """
    given = config.getoption(OPTION)
    if given is not None:
        return _checked(given, OPTION)
    return _checked(config.getini(INI) or None, f"{INI} (ini file)")


def _checked(text: str | None, place: str) -> str | None:
    if text is None:
        return None
    from pytest_initcheck.backends import parsed
    from pytest_initcheck.errors import InitcheckError

    try:
        parsed(text)
    except InitcheckError as error:
        raise pytest.UsageError(f"{place}: {error}") from None
    return text


def chosen(backend: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run with the session's backend, where the test says nothing itself."""
    if backend is None or any(options.get(name) for name in ("backend", *_OWN)):
        return options
    return {**options, "backend": backend}
