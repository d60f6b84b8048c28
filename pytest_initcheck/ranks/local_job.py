"""A job of several processes on this machine: started, joined by gloo, and gone at the end."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.forking import survives_fork


def on_ranks(
    size: int, work: Callable[[int], Any], timeout: float = 60.0, *, goes_backward: bool = True
) -> list[Any]:
    """What ``work(rank)`` gives on each of several ranks; plain data, in their order.

    They are forked, or, where ``work`` goes backward and autograd does not survive that, started
    anew, which asks for ``work`` of a module, with plain arguments. ``timeout`` is how long a rank
    may take, in seconds; a wait for another one takes half of it.

    Raises:
        InitcheckError: a rank raised, or said nothing in time; the message holds what it said.
    """
    can_fork = not goes_backward or survives_fork()
    context: Any = multiprocessing.get_context("fork" if can_fork else "spawn")
    with tempfile.TemporaryDirectory() as folder:
        ends = [context.Pipe(duplex=False) for _ in range(size)]
        processes = [
            context.Process(
                target=_serve,
                args=(rank, size, folder, timeout, work, ends[rank][1]),
                daemon=True,
            )
            for rank in range(size)
        ]
        _start(processes)
        for _, writer in ends:
            writer.close()
        try:
            return _received_by_all([reader for reader, _ in ends], timeout)
        finally:
            for process in processes:
                process.join(5)
                if process.is_alive():
                    process.kill()


def _start(processes: Sequence[Any]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for process in processes:
                process.start()
    except Exception as error:
        raise InitcheckError(
            "ranks cannot be forked here, as autograd has threads of its own after torch.compile, "
            f"nor started anew ({error}); pass a function of a module, or run this test before "
            "those that compile"
        ) from error


def _received_by_all(readers: list[Connection], timeout: float) -> list[Any]:
    """What each rank says; what one raises is told before another waits for it in vain."""
    said: dict[int, Any] = {}
    end = time.monotonic() + timeout
    while len(said) < len(readers):
        waiting = [reader for rank, reader in enumerate(readers) if rank not in said]
        ready = wait(waiting, max(end - time.monotonic(), 0))
        if not ready:
            raise InitcheckError(f"a rank said nothing for {timeout:g} seconds")
        for rank, reader in enumerate(readers):
            if reader in ready:
                said[rank] = _received(reader)
    return [said[rank] for rank in range(len(readers))]


def _received(reader: Connection) -> Any:
    try:
        is_done, value = reader.recv()
    except EOFError:
        raise InitcheckError("a rank ended before it was done") from None
    if not is_done:
        raise InitcheckError(value)
    return value


def _serve(
    rank: int,
    size: int,
    folder: str,
    timeout: float,
    work: Callable[[int], Any],
    writer: Connection,
) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            store=dist.FileStore(f"{folder}/meet", size),  # type: ignore[attr-defined]
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout / 2),
        )
        writer.send((True, work(rank)))
    except InitcheckError as error:
        writer.send((False, f"rank {rank}: {error}"))
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
        writer.send((False, f"rank {rank} raised {type(error).__name__} at {where}: {error}"))
    finally:
        # What has no end of its own, as threads of gloo, ends with the process.
        os._exit(0)
