"""Joblib's backends, connected to an engine that is there, and how each carries a parcel."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_initcheck.backends.cores import cores
from pytest_initcheck.backends.names import Address
from pytest_initcheck.backends.parcel import Filed, Parcel, Sent
from pytest_initcheck.errors import InitcheckError

_COMMON = ("joblib", "cloudpickle")
_NEEDED = {"loky": _COMMON, "dask": (*_COMMON, "distributed"), "ray": (*_COMMON, "ray")}

# Joblib does the tasks of a single worker in the caller's process, which a task could end.
FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A backend of joblib for one call, the parcel as its workers get it, and how many there are.

    ``ahead`` says how many tasks are handed over before the first is done, as ``pre_dispatch`` of
    ``joblib.Parallel``.
    """

    backend: Any
    parcel: Parcel
    workers: int
    ahead: str


def needed(address: Address) -> None:
    """Import what the engine needs.

    Raises:
        InitcheckError: it is not installed; the message says how to.
    """
    for name in _NEEDED[address.engine]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InitcheckError(
                f"backend {address.text!r} needs {name}: "
                f"pip install 'pytest-initcheck[{address.engine}]' ({error})"
            ) from None


@contextlib.contextmanager
def connected(address: Address, sent: Sent, tasks: int) -> Iterator[Connection]:
    """The engine at that address, with the parcel at its workers.

    Raises:
        InitcheckError: nothing answers there, or it has no workers.
    """
    with _OPENERS[address.engine](address, sent, tasks) as connection:
        yield connection


@contextlib.contextmanager
def _loky(address: Address, sent: Sent, tasks: int) -> Iterator[Connection]:
    from joblib._parallel_backends import LokyBackend

    with tempfile.TemporaryDirectory(prefix="initcheck-") as folder:
        path = Path(folder) / "parcel"
        path.write_bytes(sent.data)
        yield Connection(
            backend=LokyBackend(),
            parcel=Filed(sent.digest, path),
            workers=max(min(cores(), tasks), FEWEST),
            ahead="2*n_jobs",
        )


@contextlib.contextmanager
def _dask(address: Address, sent: Sent, tasks: int) -> Iterator[Connection]:
    from pytest_initcheck.backends import over_dask

    client = over_dask.client(address)
    backend = over_dask.backend(client, sent)
    workers = len(client.scheduler_info(n_workers=-1)["workers"])
    try:
        yield Connection(backend=backend, parcel=sent, workers=workers, ahead="all")
    finally:
        backend.data_futures.clear()  # The workers drop the parcel.


@contextlib.contextmanager
def _ray(address: Address, sent: Sent, tasks: int) -> Iterator[Connection]:
    from pytest_initcheck.backends import over_ray

    over_ray.connect(address)
    yield Connection(
        backend=over_ray.backend(),
        parcel=over_ray.put(sent),
        workers=over_ray.processors(),
        ahead="2*n_jobs",
    )


_Opener = Callable[[Address, Sent, int], contextlib.AbstractContextManager[Connection]]
_OPENERS: dict[str, _Opener] = {"loky": _loky, "dask": _dask, "ray": _ray}
