"""What a backend is called: a name, or the address of a scheduler. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pytest_initcheck.errors import InitcheckError

LOCAL = "local"
_FORMS = "'loky', 'dask', 'dask://host:port', 'ray', 'ray://host:port' or 'local'"
_NAMES: tuple[Literal["loky", "dask", "ray"], ...] = ("loky", "dask", "ray")
# Dask's own ways to write an address; https://distributed.dask.org/en/stable/tls.html
_OF_DASK = ("tcp", "tls")


class Address(NamedTuple):
    """An engine, and where it is: "" for one that is known by its name alone.

    Dask is addressed as Dask does it (``tcp://…``), Ray as Ray does it (``ray://…``).
    """

    engine: Literal["loky", "dask", "ray"]
    where: str
    text: str


def parsed(backend: str | None) -> Address | None:
    """The engine that is meant; None for this process, by ``None`` or "local".

    Raises:
        InitcheckError: no backend is written like that; the message says how they are.
    """
    if backend is None or backend == LOCAL:
        return None
    if not isinstance(backend, str):
        raise InitcheckError(f"backend: pass {_FORMS}, not {backend!r}")
    name, _, place = backend.partition("://")
    if name in _OF_DASK and place:
        return Address("dask", backend, backend)
    for engine in _NAMES:
        if backend == engine:
            return Address(engine, "", backend)
        if name == engine and place and engine != "loky":
            return Address(engine, _own(engine, place), backend)
    raise InitcheckError(f"backend: pass {_FORMS}, not {backend!r}")


def _own(engine: str, place: str) -> str:
    """The address as the engine writes it."""
    return f"tcp://{place}" if engine == "dask" else f"ray://{place}"
