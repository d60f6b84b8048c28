"""``initcheck check``: how models are named, what is guessed of their data, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pytest_initcheck.cli import main

MODELS = """
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

class Mlp(nn.Sequential):
    def __init__(self, width=20, classes=10):
        super().__init__(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, classes))

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 16), nn.Linear(16, 50)
    def forward(self, ids, attention_mask=None):
        x = self.embed(ids)
        return self.head(torch.tanh(x if attention_mask is None else x * attention_mask[..., None]))

class Images(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 47 * 47, 5))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 4), nn.Linear(6, 4)
    def forward(self, a, b):
        return torch.tanh(self.left(a)) + torch.tanh(self.right(b))

class Pair(Mlp):
    def forward(self, x):
        output = super().forward(x)
        return output, output.square()

class Denoiser(Two):
    def forward(self, x, t):
        return x - super().forward(x, t).repeat(1, 2)[:, :6]

class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.LazyLinear(3))

class Auto(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 12))

class Theirs(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 4)
    def forward(self, x):
        raise KeyError("no such feature")

class Lit(Mlp):
    example_input_array = torch.zeros(4, 20)
    def training_step(self, batch, batch_idx):
        return functional.cross_entropy(self(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=2e-3)

def data():
    torch.manual_seed(0)
    return torch.randn(16, 20), torch.randint(0, 10, (16,))

def loader():
    return DataLoader(TensorDataset(*data()), 8)

def squared(output, targets):
    return functional.cross_entropy(output, targets) ** 2

def step(model, batch):
    return functional.cross_entropy(model(batch[0]), batch[1])
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder with a module of models, named anew for each test."""
    name = f"models_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


@pytest.fixture
def run(models, capsys):
    """Run ``initcheck check`` without a report; the JSON that it prints."""

    def runs(target, *arguments):
        given = target if ":" in target else f"{models}:{target}"
        arguments = [argument.format(models=models) for argument in arguments]
        code = main(["check", given, "--json", "--report", "off", *arguments])
        said = capsys.readouterr()
        assert code in (0, 1), said.err
        return json.loads(said.out)

    return runs


@pytest.mark.parametrize(
    ("target", "guessed"),
    [
        ("Mlp", ["inputs float32 (32, 20) (0, a Linear)", "10 classes (the output's (32, 10))"]),
        ("Tokens", ["inputs int64 (8, 16) (embed, an Embedding)", "50 classes"]),
        ("Images", ["inputs float32 (8, 3, 96, 96) (0, a Conv2d)", "5 classes"]),
        ("Two", ["inputs a=float32 (32, 6), b=float32 (32, 6)", "4 classes"]),
        (
            "Denoiser",
            ["inputs x=float32 (32, 6), t=float32 (32, 6)", "normal values of the output's"],
        ),
        ("Auto", ["inputs float32 (32, 12)", "normal values of the output's (32, 12)"]),
        ("Lit", ["example_input_array", "10 classes (the output's (4, 10))"]),
    ],
)
def test_what_is_not_typed_is_guessed_and_said(run, target, guessed):
    data = run(target)
    assert len(data["guessed"]) == 2
    assert all(part in line for part, line in zip(guessed, data["guessed"], strict=True))
    assert len(data["losses"]) == 6


def test_what_was_guessed_is_a_line_of_the_text(models, capsys):
    assert main(["check", f"{models}:Mlp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        "guessed: inputs float32 (32, 20) (0, a Linear); 10 classes (the output's (32, 10))"
    )


def test_what_is_typed_is_not_guessed(run):
    assert run("Mlp", "--input", "8,20", "--classes", "10")["guessed"] == []


def test_a_file_is_a_module_too(run, models, tmp_path):
    expected = run("Mlp")["losses"]
    assert run(f"{tmp_path / models}.py:Mlp")["losses"] == expected
    assert run(f"./{models}.py:Mlp")["losses"] == expected


def test_a_file_of_a_package_keeps_its_relative_imports(run, tmp_path):
    package = tmp_path / "box" / "inner"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "sizes.py").write_text("WIDTH = 7")
    (package / "net.py").write_text(
        "from torch import nn\nfrom .sizes import WIDTH\n\ndef net(): return nn.Linear(WIDTH, 3)\n"
    )
    assert "float32 (32, 7)" in run("box/inner/net.py:net")["guessed"][0]
    for name in ("box", "box.inner", "box.inner.sizes", "box.inner.net"):
        sys.modules.pop(name, None)


def test_two_files_of_one_name_are_two(run, tmp_path):
    for folder, width in (("one", 5), ("two", 6)):
        (tmp_path / folder).mkdir()
        text = f"from torch import nn\n\ndef net(): return nn.Linear({width}, 3)\n"
        (tmp_path / folder / "samename_net.py").write_text(text)
    assert "(32, 5)" in run("one/samename_net.py:net")["guessed"][0]
    assert "(32, 6)" in run("two/samename_net.py:net")["guessed"][0]
    sys.modules.pop("samename_net", None)


def test_a_factory_takes_arguments(run):
    data = run("Mlp", "--args", "9", "classes=4")
    assert "(32, 9)" in data["guessed"][0]
    assert "4 classes" in data["guessed"][1]


@pytest.mark.parametrize(
    ("inputs", "guessed"),
    [
        (["ids=8,12"], "token ids below 50"),
        (["ids=8,12:int64", "attention_mask=8,12:int64"], "token ids below 50"),
        (["8,12:long", "attention_mask=8,12:bool"], "token ids below 50"),
        (["8,12"], "token ids below 50"),
    ],
)
def test_inputs_by_name_with_types_and_masks(run, inputs, guessed):
    data = run("Tokens", *(word for text in inputs for word in ("--input", text)))
    assert data["guessed"][0] == guessed
    assert data["verdict"] == "pass"


@pytest.mark.parametrize("batch", ["data", "loader"])
def test_a_batch_of_ones_own(run, batch):
    data = run("Mlp", "--batch", f"{{models}}:{batch}")
    assert data["guessed"] == []
    assert data["losses"][0] > data["losses"][-1]


def test_a_loss_and_a_forward_of_ones_own(run):
    batch = ("--batch", "{models}:data")
    plain = run("Mlp", *batch)["losses"][0]
    assert run("Mlp", *batch, "--loss", "{models}:squared")["losses"][0] == pytest.approx(plain**2)
    assert run("Mlp", *batch, "--forward", "{models}:step")["losses"][0] == pytest.approx(plain)
    assert run("Mlp", *batch, "--loss", "nll_loss")["settings"]["loss"] == "nll_loss"


@pytest.mark.parametrize(
    ("options", "optimizer", "rate"),
    [
        ([], "SGD", "0.01"),
        (["--optimizer", "adamw"], "AdamW", "0.001"),
        (["--optimizer", "rmsprop", "--lr", "0.1"], "RMSprop", "0.1"),
    ],
)
def test_optimisers(run, options, optimizer, rate):
    settings = run("Mlp", *options)["settings"]
    assert settings["optimizer"].startswith(optimizer)
    assert settings["lr"] == rate


def test_a_lightning_module_brings_its_own(run):
    assert run("Lit")["settings"]["lr"] == "0.002"
    assert "training_step" in run("Lit")["settings"]["taken"]
    assert run("Lit", "--optimizer", "sgd")["settings"]["optimizer"] == "SGD"


def test_what_a_forward_raises_is_shown_as_its_own(models, capsys):
    code = main(["check", f"{models}:Theirs", "--input", "8,6"])
    said = capsys.readouterr().err
    assert code == 2
    assert "the model's forward raised KeyError: 'no such feature'" in said
    assert f"(in {models}.py:" in said
    assert "pass" not in said


def test_what_does_not_fit_gets_a_hint(models, capsys):
    assert main(["check", f"{models}:Mlp", "--input", "8,21"]) == 2
    said = capsys.readouterr().err
    assert (
        "it was given float32 (8, 21); pass --input with inputs of which the layer gets 20" in said
    )


def test_what_cannot_be_guessed_is_asked_for(models, capsys):
    assert main(["check", f"{models}:Theirs"]) == 2
    said = capsys.readouterr().err
    assert "cannot be told from its layers (tried 32,6 | 32,16,6); pass --input x=SHAPE" in said
    assert main(["check", f"{models}:Lazy"]) == 2
    assert "Lazy takes cannot be told from its layers; pass --input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("report", "written"),
    [
        ("out/", "out/report.html"),
        ("out", "out/report.html"),
        ("out/page.html", "out/page.html"),
        ("off", None),
    ],
)
def test_a_report_goes_to_a_file_a_folder_or_nowhere(models, capsys, tmp_path, report, written):
    assert main(["check", f"{models}:Mlp", "--report", report]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert (last == f"report: {written}") == (written is not None)
    pages = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.html")]
    assert pages == ([written] if written else [])


def test_rules_are_selected_and_warnings_taken_for_errors(models, capsys):
    warned = ["check", f"{models}:Pair", "--report", "off"]
    assert main(warned) == 0
    assert "warn (1 warning)" in capsys.readouterr().out
    assert main([*warned, "--strict"]) == 1
    assert main([*warned, "--strict", "--select", "IC1*"]) == 0
    assert "ignored (not selected): warning IC823" in capsys.readouterr().out
    assert main([*warned, "--select", "warnings"]) == 2


@pytest.mark.parametrize("module", ["pytest_initcheck", "pytest_initcheck.cli"])
def test_python_runs_the_package(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("pytest-initcheck ")
