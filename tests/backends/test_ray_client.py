"""Ray's client: an instance in another process, reached by the address of its server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.engines import needs

from pytest_initcheck import InitcheckError
from pytest_initcheck.backends.mapping import mapped

ENDLESS = "ray://127.0.0.1:1"
SERVER = """
import sys
from ray.util.client.server.server import init_and_serve, shutdown_with_server
server = init_and_serve("127.0.0.1", int(sys.argv[1]), num_cpus=2, include_dashboard=False)
print("ready", flush=True)
sys.stdin.read()
shutdown_with_server(getattr(server, "grpc_server", server))
"""
CLIENT = """
import os, signal, sys
import torch
from support.training import experiment
from pytest_initcheck import run
torch.set_num_threads(1)
address, flag, here = sys.argv[1], sys.argv[2], os.getpid()

def measure(model, moment):
    if os.getpid() != here and moment == "after" and not os.path.exists(flag):
        open(flag, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"mean": model[0].weight.mean()}

def small():
    return torch.nn.Sequential(torch.nn.Linear(2, 3))

chosen = experiment(model=small, measure=measure)
found = run(chosen, seeds=4, backend=address)
print("killed" if os.path.exists(flag) else "alive", found == run(chosen, seeds=4))
print(repr(found.engine))
"""


def started(code, *arguments, **options):
    here = Path(__file__).parent.parent
    path = os.pathsep.join([str(here.parent), str(here)])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "RAY_AUTH_MODE": "disabled"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **options,
    )


@needs("joblib", "cloudpickle", "ray")
def test_the_records_are_the_same_behind_an_address_though_a_worker_is_killed(tmp_path):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    server = started(SERVER, port, stdin=subprocess.PIPE)
    try:
        assert any(line.strip() == "ready" for line in server.stdout)
        client = started(CLIENT, f"ray://127.0.0.1:{port}", tmp_path / "killed")
        said, _ = client.communicate(timeout=240)
    finally:
        server.stdin.close()
        server.wait(60)
    assert "killed True" in said
    assert "ray" in said


@needs("joblib", "cloudpickle", "ray")
def test_an_address_at_which_nothing_answers_is_an_error(monkeypatch):
    monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "1")
    monkeypatch.setattr("ray.util.client.worker.INITIAL_TIMEOUT_SEC", 0.1)
    monkeypatch.setattr("ray.util.client.worker.MAX_TIMEOUT_SEC", 0.1)
    with pytest.raises(InitcheckError, match="nothing answers"):
        mapped(lambda *_: 0, None, [0, 1], backend=ENDLESS)
