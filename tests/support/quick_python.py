"""A Python whose processes start with torch imported: forked, not begun anew.

For tests of what goes on between processes, not of what a process imports or how it crashes. Most
of the time that a small run in a process of its own takes is the import of torch.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class QuickPython:
    """A server of processes, and ``executable``, a file to run in the place of the interpreter."""

    def __init__(self) -> None:
        # Not a folder of pytest's: the path of a socket may have about a hundred characters.
        self._folder = tempfile.TemporaryDirectory()
        folder, here = Path(self._folder.name), Path(__file__).parent
        address, launcher = folder / "socket", folder / "python"
        self.executable = str(launcher)
        client = shlex.join([sys.executable, "-ISB", str(here / "python_client.py"), str(address)])
        launcher.write_text(f'#!/bin/sh\nexec {client} "$0" "$@"\n', encoding="utf-8")
        launcher.chmod(0o755)
        reading, self._lifeline = os.pipe()
        self._server = subprocess.Popen(
            [sys.executable, str(here / "python_server.py"), str(address), str(reading)],
            pass_fds=[reading],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(reading)
        self._wait_for(address)

    def _wait_for(self, address: Path) -> None:
        while not address.exists():
            assert self._server.poll() is None, "the server of processes did not start"
            time.sleep(0.01)

    def close(self) -> None:
        """The server ends as soon as nobody holds the lifeline."""
        os.close(self._lifeline)
        self._server.wait()
        self._folder.cleanup()
