"""Dask by joblib: a client for an address, and the backend with two of its gaps closed."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import distributed
from joblib._dask import DaskDistributedBackend

from pytest_initcheck.backends.cores import cores
from pytest_initcheck.backends.names import Address
from pytest_initcheck.backends.parcel import Sent
from pytest_initcheck.backends.streams import keep_apart
from pytest_initcheck.errors import InitcheckError

# Connections that were made here, by address: as long as the process, as Dask closes them itself.
_CLIENTS: dict[str, Any] = {}


def client(address: Address) -> Any:
    """A client: for "dask" the current one, else the scheduler of Dask's configuration
    (``DASK_SCHEDULER_ADDRESS``), else a cluster of processes on this machine.

    Raises:
        InitcheckError: no scheduler answers at that address.
    """
    keep_apart()
    if not address.where:
        try:
            return distributed.get_client()
        except ValueError:  # There is none.
            pass
    known = _CLIENTS.get(address.where)
    if known is None or known.status != "running":
        known = _CLIENTS[address.where] = _new(address)
    return known


def _new(address: Address) -> Any:
    import dask

    try:
        if address.where or dask.config.get("scheduler-address", None):
            return distributed.Client(address.where or None, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InitcheckError(f"backend {address.text!r}: no scheduler answers: {error}") from error
    # One thread each: the random streams belong to a process.
    cluster = distributed.LocalCluster(
        n_workers=cores(), threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
    )
    # Before Dask's own end, which leaves the workers to be killed.
    atexit.register(cluster.close)
    return distributed.Client(cluster, set_as_default=False)


def backend(client: Any, sent: Sent) -> Any:
    """Joblib's backend on that client, with the parcel on every worker.

    Raises:
        InitcheckError: there is no worker.
    """
    try:
        return _Backend(client=client, scatter=[sent])
    except TimeoutError as error:
        raise InitcheckError(f"backend dask: the scheduler has no worker: {error}") from error


class _Backend(DaskDistributedBackend):  # type: ignore[misc]
    """Tells joblib of tasks that are lost, which it would wait for without end, and cancels."""

    def effective_n_jobs(self, n_jobs: int) -> int:
        """As joblib's, and never one, for which it would not ask the scheduler."""
        return max(int(super().effective_n_jobs(n_jobs)), 2)

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """As joblib's; the callback also hears of a task whose workers died again and again."""

        def lost(job: Future[Any]) -> None:
            if callback is not None and (error := job.exception()) is not None:
                callback(error)

        job: Future[Any] = super().submit(func, callback)
        job.add_done_callback(lost)
        return job

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """As joblib's; the scheduler drops at once what nobody waits for."""
        waiting = list(self._results)
        super().abort_everything(ensure_ready)
        self.client.cancel(waiting, force=True)
