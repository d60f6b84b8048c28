"""``initcheck scaling``: exponents without a test file."""

import json

import pytest

from pytest_initcheck.cli import main

MODELS = """
import torch
from torch import nn

def net(width, act="ReLU"):
    model = nn.Sequential(
        nn.Linear(6, width), getattr(nn, act)(), nn.Linear(width, width), nn.Linear(width, 3)
    )
    for layer in (model[0], model[2], model[3]):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return model

def mup(width):
    model = net(width)
    nn.init.normal_(model[3].weight, std=4 / width)
    return model

def rates(model):
    base, hidden = [*model[0].parameters()], [*model[2].parameters(), *model[3].parameters()]
    scaled = {"params": hidden, "lr": 0.01 / model[2].in_features}
    return torch.optim.Adam([{"params": base}, scaled])

def batch(width):
    return torch.ones(4, 6), torch.arange(4) % 3

def deep(depth):
    return nn.Sequential(*(nn.Linear(6, 6) for _ in range(depth)), nn.Linear(6, 3))
"""
WIDTHS = ("--sizes", "16,32,64", "--seeds", "2", "--steps", "1")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scaled_nets.py").write_text(MODELS)

    def run(*words):
        status = main(["scaling", *words])
        return (status, *capsys.readouterr())

    return run


def test_the_table_has_every_layer_and_what_was_guessed(command):
    status, out, _ = command("scaled_nets.py:net", *WIDTHS)
    assert status == 0
    assert "guessed: inputs" in out
    rows = [line.split()[:2] for line in out.splitlines()]
    assert [r for r in rows if r[0] in "023"] == [["0", "input"], ["2", "hidden"], ["3", "output"]]


def test_what_is_wrong_is_told_with_status_1(command):
    status, out, _ = command(
        "scaled_nets.py:net", *WIDTHS, "--optimizer", "adam", "--parametrization", "none"
    )
    assert status == 1
    assert "IC904 width: layer '2': exponent of the own change after step 1" in out
    assert "multiply it by width^-" in out


def test_rates_by_layer_come_from_a_function_of_the_model(command):
    words = ("scaled_nets.py:mup", *WIDTHS, "--parametrization", "mup")
    assert command(*words, "--optimizer", "scaled_nets.py:rates")[0] == 0
    assert command(*words, "--optimizer", "adam")[0] == 1


def test_batches_by_size_arguments_report_and_picture(command, tmp_path):
    status, out, _ = command(
        *("scaled_nets.py:net", *WIDTHS, "--args", "act=Tanh", "--batch", "scaled_nets.py:batch"),
        *("--report", "out/page.html", "--plot", "out.png"),
    )
    assert status == 0
    assert "guessed" not in out
    assert "How it scales" in (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_json_holds_the_exponents(command):
    status, out, _ = command("scaled_nets.py:net", *WIDTHS, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["sizes"] == [16, 32, 64]
    gains = {
        row["layer"]: row["exponent"] for row in found["exponents"] if row["quantity"] == "gain"
    }
    assert set(gains) == {"0", "2", "3"}
    assert found["findings"] == []


def test_a_depth_is_judged_as_one(command):
    status, out, _ = command("scaled_nets.py:deep", "--sizes", "2,4,8", "--seeds", "2", "--depth")
    assert status == 1
    assert "IC905 depth: layer '0': exponent of the gradient at the first layer" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scaled_nets.py:net",), "--sizes"),
        (("scaled_nets.py:net", "--sizes", "a"), "whole numbers"),
        (("scaled_nets.py:net", "--sizes", "8"), "at least two"),
        (("scaled_nets.py:none", "--sizes", "8,16"), "has no 'none'"),
    ],
)
def test_wrong_use_is_one_line(command, words, said):
    status, _, err = command(*words)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
