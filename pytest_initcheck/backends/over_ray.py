"""Ray by joblib: its connection, the backend whose lost workers begin anew, and its store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.util.joblib.ray_backend import RayBackend

from pytest_initcheck.backends.cores import cores
from pytest_initcheck.backends.names import Address
from pytest_initcheck.backends.parcel import Sent
from pytest_initcheck.errors import InitcheckError

# As often as Dask's ``distributed.scheduler.allowed-failures``.
_RETRIES = 3
_KEPT: _Backend | None = None
_QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


def connect(address: Address) -> None:
    """Connect this process, where it is not: for "ray" to the instance that runs (on this machine,
    or at ``RAY_ADDRESS``), else to one that is started here.

    Raises:
        InitcheckError: no instance answers at that address.
    """
    if ray.is_initialized():
        return
    if not address.where:
        try:
            ray.init(address="auto", **_QUIET)
        except ConnectionError:
            ray.init(num_cpus=cores(), include_dashboard=False, **_QUIET)
        return
    try:
        ray.init(address=address.where, **_QUIET)
    except (ConnectionError, ValueError, OSError) as error:
        raise InitcheckError(f"backend {address.text!r}: nothing answers: {error}") from error


def processors() -> int:
    """How many processors the instance has: as many workers are started."""
    return int(ray.cluster_resources().get("CPU", 1))


def backend() -> Any:
    """Joblib's backend; Ray starts workers anew that are lost, and repeats their tasks."""
    global _KEPT
    if _KEPT is None or not _KEPT.is_of(_instance()):
        _KEPT = _Backend(_instance())
    return _KEPT


def _instance() -> str:
    return str(ray.get_runtime_context().get_job_id())


class _Backend(RayBackend):  # type: ignore[misc]
    """Gives results as they come, and keeps its workers for the next call: each takes seconds."""

    supports_return_generator = True
    _pool: Any = None

    def __init__(self, instance: str) -> None:
        super().__init__(ray_remote_args={"max_restarts": -1, "max_task_retries": _RETRIES})
        self.instance, self.is_aborting = instance, False

    def is_of(self, instance: str) -> bool:
        """Whether its workers belong to this connection."""
        return self.instance == instance

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """As joblib's, with the workers that are there."""
        if self._pool is None:
            return int(super().configure(n_jobs, parallel, **options))
        self.parallel = parallel
        return int(self.effective_n_jobs(n_jobs))

    def terminate(self) -> None:
        """End nothing but what was aborted: what runs is nobody's."""
        if self.is_aborting and self._pool is not None:
            end(self._pool)
            self._pool = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the workers with what they do."""
        self.is_aborting = True
        try:
            self.terminate()
        finally:
            self.is_aborting = False


def end(pool: Any) -> None:
    """Kill the workers of a pool; its own end waits until each has done what it does."""
    for actor, _ in pool._actor_pool:
        ray.kill(actor)


@dataclass(frozen=True)
class _Stored:
    """Data in Ray's store, which brings them to every machine once."""

    digest: str
    reference: Any

    def read(self) -> bytes:
        """The data."""
        data: bytes = ray.get(self.reference)
        return data


def put(sent: Sent) -> _Stored:
    """The parcel, in the store."""
    return _Stored(sent.digest, ray.put(sent.data))
