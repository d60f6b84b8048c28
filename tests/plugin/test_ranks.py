"""Under torchrun: every rank runs the tests, the first alone writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

FILES = {
    "conftest": """
        import pytest
        import torch.distributed as dist
        @pytest.fixture(scope="session", autouse=True)
        def job():
            dist.init_process_group("gloo")
            yield
            dist.destroy_process_group()
    """,
    "test_a": """
        import torch
        import torch.distributed as dist
        from torch import nn
        from torch.nn.parallel import DistributedDataParallel

        def test_start(initcheck):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
            torch.manual_seed(1 + dist.get_rank())
            batch = torch.randn(16, 4), torch.randint(0, 3, (16,))
            found = initcheck.assert_healthy(DistributedDataParallel(model), batch)
            assert found.verdict == "pass"
    """,
}


def launched(project, *arguments):
    """One process for each of two ranks, with what torchrun gives to each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    processes = [
        subprocess.Popen(
            command,
            cwd=project.path,
            env=os.environ | known | {"RANK": str(rank), "TORCHELASTIC_RUN_ID": "a"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [(process.communicate(timeout=100)[0], process.returncode) for process in processes]


@pytest.mark.slow
def test_the_first_rank_alone_writes(project, quick_python):
    project.write(**FILES)
    first, second = launched(project, "--initcheck-update", "--initcheck-report=page/index.html")
    assert (first[1], second[1]) == (0, 0), first[0] + second[0]
    assert "rank 1 writes nothing" in second[0]
    assert "rank 1 writes nothing" not in first[0]
    assert [path.name for path in (project.path / "baselines").iterdir()] == ["test_a.json"]
    (test,) = project.data("page/run.json")["tests"]
    assert test["entries"][0]["record"]["before"]["inputs"]["n"] == 2 * 16 * 4


def test_a_later_rank_writes_neither_baselines_nor_pages(project, monkeypatch):
    project.write(test_a="def test_cost(initcheck): initcheck.compare('cost', 1.0)")
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "a"}.items():
        monkeypatch.setenv(name, value)
    result = project.run("--initcheck-update", "--initcheck-report=page/index.html")
    assert result.ret == 0
    assert "rank 1 writes nothing" in result.stdout.str()
    assert not (project.path / "baselines").exists()
    assert not (project.path / "page").exists()
    monkeypatch.setenv("RANK", "0")
    assert project.run("--initcheck-update", "--initcheck-report=page/index.html").ret == 0
    assert (project.path / "baselines" / "test_a.json").exists()
    assert (project.path / "page" / "run.json").exists()
