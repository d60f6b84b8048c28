"""Several processes of one job on this machine, joined by gloo."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist


def on_ranks(size: int, work: Callable[[int], Any], timeout: float = 60.0) -> list[Any]:
    """What ``work(rank)`` gives on each of several forked ranks; plain data, in their order.

    An exception comes back as "Error: text".
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        ends = [context.Pipe(duplex=False) for _ in range(size)]
        processes = [
            context.Process(
                target=_serve, args=(rank, size, folder, timeout, work, ends[rank][1]), daemon=True
            )
            for rank in range(size)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for process in processes:
                process.start()
        try:
            return [_heard(reader, timeout) for reader, _ in ends]
        finally:
            for process in processes:
                process.join(5)
                if process.is_alive():
                    process.kill()


def _heard(reader: Connection, timeout: float) -> Any:
    assert reader.poll(timeout), "a rank says nothing: it hangs, or is gone"
    kind, value = reader.recv()
    assert kind == "done", value
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
            init_method=f"file://{folder}/meet",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout / 2),
        )
        writer.send(("done", work(rank)))
    except BaseException:
        writer.send(("raised", traceback.format_exc()))
    finally:
        # What has no end of its own, as threads of gloo, ends with the process.
        os._exit(0)
