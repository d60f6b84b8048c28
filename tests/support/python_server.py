"""A Python that has imported what runs of pytest with models import, and forks for each that asks.

``python python_server.py SOCKET LIFELINE`` serves until nobody holds the other end of the pipe
``LIFELINE``. ``python_client.py`` asks, ``quick_python.py`` starts it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

# The package itself is among them, as pytest would have imported it: with its asserts rewritten.
_LATE = ("pytest_initcheck", "xdist.remote", "_pytest.doctest", "_pytest.junitxml")


class Imports:
    """A plugin that has all imported within a session of pytest."""

    def pytest_sessionstart(self) -> None:
        for name in (*_LATE, *self._modules(), *_asked_of_a_child()):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    def _modules(self) -> list[str]:
        package = importlib.import_module("pytest_initcheck")
        found = pkgutil.walk_packages(package.__path__, "pytest_initcheck.")
        return [module.name for module in found if not module.name.endswith("__main__")]


def _asked_of_a_child() -> list[str]:
    """The modules that a diagnosis imports; nothing is computed here, so that forks stay safe."""
    reading, writing = os.pipe()
    if not os.fork():
        from pytest_initcheck.testing import project

        with contextlib.suppress(BaseException):
            project.warm()
        with os.fdopen(writing, "w") as told:
            told.write("\n".join(sys.modules))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        names = told.read().split("\n")
    os.wait()
    return names


def serve(path: str, lifeline: int) -> None:
    """Fork for each who asks, until the lifeline is cut."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{path}.")
        listening.listen(16)
        # Who sees the path may connect.
        os.rename(f"{path}.", path)
        while lifeline not in select.select([listening, lifeline], [], [])[0]:
            asking, _ = listening.accept()
            with asking:
                if not os.fork():
                    listening.close()
                    _watch_over(asking)
            _bury()
    _bury()


def _bury() -> None:
    """Take note of those that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _watch_over(asking: socket.socket) -> None:
    """Fork the process that runs the program, wait for it, and tell how it ended."""
    size, handles, *_ = socket.recv_fds(asking, 10, 3)
    words = asking.recv(int(size), socket.MSG_WAITALL)
    if not (program := os.fork()):
        asking.close()
        _end(_run(json.loads(words), handles))
    _, status = os.waitpid(program, 0)
    asking.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _end(code: int) -> None:
    """As an interpreter ends, without taking apart what it imported: that costs as much again."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(asked: dict[str, Any], handles: list[int]) -> int:
    """Become what was asked for: its streams, folder, environment and arguments; the status."""
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    _open_streams()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.executable = asked["executable"]
    given = asked["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, given), *(place for place in sys.path if place not in _OWN)]
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    try:
        _execute(asked["arguments"])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _open_streams() -> None:
    """What Python reads and writes; the server's own know another file."""
    known: dict[str, Any] = {"encoding": "utf-8", "closefd": False}
    sys.stdin = sys.__stdin__ = os.fdopen(0, **known)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", **known)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", **known)


def _execute(arguments: list[str]) -> None:
    """Run ``-m MODULE``, ``-c CODE`` or a file."""
    while arguments[0] in ("-u", "-B"):
        arguments = arguments[1:]
    kind, *rest = arguments
    if kind == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *rest[1:]]
        main = type(sys)("__main__")
        sys.modules["__main__"] = main
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    elif kind == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = rest
        if not hasattr(sys.modules.get(rest[0]), "__path__"):
            # What pytest's hook has imported cannot be asked for its code.
            sys.modules.pop(rest[0], None)
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(kind).parent))
        sys.argv = arguments
        runpy.run_path(kind, run_name="__main__")


_OWN = {
    str(Path(__file__).parent),
    *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
}

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--rootdir", folder]
        pytest.main([*quiet, folder], plugins=[Imports()])
    gc.collect()
    gc.freeze()
    serve(sys.argv[1], int(sys.argv[2]))
