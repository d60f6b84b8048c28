"""``initcheck new``: a first test file that is written, run, and named for the commit."""

from __future__ import annotations

import sys

import pytest

from pytest_initcheck.cli import main

MODELS = """
from torch import nn

class SmallNet(nn.Sequential):
    def __init__(self, classes=5):
        super().__init__(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, classes))

class Dead(SmallNet):
    def __init__(self):
        super().__init__()
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

def data():
    import torch
    torch.manual_seed(0)
    return torch.randn(16, 20), torch.randint(0, 5, (16,))
"""
OPTIONS = "-p no:hypothesispytest -p no:cacheprovider"


@pytest.fixture
def home(pytester, warm, monkeypatch):
    """A project with a module of models."""
    (pytester.path / "new_models.py").write_text(MODELS)
    pytester.makeini("[pytest]\npythonpath = .\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTEST_ADDOPTS", OPTIONS)
    before = set(sys.modules)
    yield pytester.path
    for name in ({"new_models"} | set(sys.modules)) - before:
        if name.startswith(("new_models", "test_")):
            sys.modules.pop(name, None)


def test_a_file_is_written_run_and_to_be_committed(home, capsys):
    assert main(["new", "new_models:SmallNet"]) == 0
    said = capsys.readouterr().out
    assert "wrote test_small_net.py" in said
    assert "git add test_small_net.py baselines" in said
    assert (home / "baselines/test_small_net.json").exists()
    assert (home / "test_small_net.py").read_text() == (
        '"""How new_models:SmallNet starts: a fault of its weights or first steps fails."""\n'
        "\n"
        "import torch\n"
        "from new_models import SmallNet\n"
        "\n"
        "\n"
        "def batch():\n"
        "    torch.manual_seed(0)\n"
        "    return (torch.randn(32, 20), torch.randint(0, 5, (32,)))\n"
        "\n"
        "\n"
        "def test_small_net_starts_healthy(initcheck):\n"
        "    torch.manual_seed(0)\n"
        "    initcheck.assert_healthy(SmallNet(), batch())\n"
    )


def test_into_the_folder_of_tests_with_arguments_and_a_batch(home):
    (home / "tests").mkdir()
    given = ["--args", "classes=5", "--batch", "new_models:data"]
    assert main(["new", "new_models:SmallNet", *given]) == 0
    text = (home / "tests/test_small_net.py").read_text()
    assert "from new_models import data as make_batch" in text
    assert "return make_batch()" in text
    assert "SmallNet(classes=5)" in text


def test_a_start_that_is_not_healthy_says_what_to_do(home, capsys):
    assert main(["new", "new_models:Dead"]) == 1
    said = capsys.readouterr().out
    assert "IC101" in said
    assert "test_dead.py fails: it shows what is wrong with the start" in said


def test_a_file_that_is_there_is_left_alone(home, capsys):
    (home / "test_small_net.py").write_text("# mine")
    assert main(["new", "new_models:SmallNet"]) == 2
    assert "test_small_net.py is there already; name another file" in capsys.readouterr().err
    assert (home / "test_small_net.py").read_text() == "# mine"
    assert main(["new", "new_models:SmallNet", "--file", "deep/test_it.py"]) == 0
    assert (home / "deep/test_it.py").exists()


def test_a_librarys_model_by_its_name(home):
    assert main(
        ["new", "torchvision:squeezenet1_1", "--args", "num_classes=4", "--input", "2,3,32,32"]
    ) in (0, 1)
    text = (home / "test_squeezenet1_1.py").read_text()
    assert "model_of('torchvision:squeezenet1_1', args=('num_classes=4',))" in text
