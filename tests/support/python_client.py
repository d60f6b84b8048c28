"""Stands for an interpreter: has a program run by ``python_server.py``, and ends as it does.

``python -ISB python_client.py SOCKET EXECUTABLE ARGUMENTS…``; the program takes over the streams,
the folder and the environment. ``EXECUTABLE`` is what the program finds in ``sys.executable``.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def ask(address: str, executable: str, arguments: list[str]) -> int:
    """The exit status of the program; less than 0 where a signal ended it."""
    asked = {
        "executable": executable,
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        words = json.dumps(asked).encode()
        socket.send_fds(server, [f"{len(words):10}".encode()], [0, 1, 2])
        server.sendall(words)
        return int(server.recv(16) or 1)


if __name__ == "__main__":
    status = ask(sys.argv[1], sys.argv[2], sys.argv[3:])
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)
