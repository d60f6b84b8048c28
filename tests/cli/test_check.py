"""``initcheck check``: a verdict without a test file, and one line for everything that is wrong."""

import json
import sys
import textwrap
from pathlib import Path

import pytest

from pytest_initcheck.cli import main

ZOO = """
import torch
from torch import nn

def good():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))

def zero():
    model = good()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model

ready = good()
number = 3

def needs(width): return good()
def boom(): raise RuntimeError("no\\nweights here")
def leave(): raise SystemExit(7)
def other(): return [1]
def sized(width, depth=1, act=nn.ReLU):
    return nn.Sequential(nn.Linear(width, 8), *[act()] * depth, nn.Linear(8, 3))
def batch():
    torch.manual_seed(0)
    return torch.randn(8, 20), torch.randint(0, 10, (8,))
def focal(output, targets): return nn.functional.cross_entropy(output, targets) ** 2
def step(model, batch): return nn.functional.cross_entropy(model(batch[0]), batch[1])

class Tokens(nn.Module):
    def __init__(self, head=7):
        super().__init__()
        self.embed, self.head = nn.Embedding(100, 32), nn.Linear(32, head)
    def forward(self, ids):
        return self.head(torch.tanh(self.embed(ids)))

class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
    def forward(self, x):
        return {"out": self.head(torch.relu(self.conv(x)))}

def on_meta():
    with torch.device("meta"):
        return good()

class OwnLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(20, 4)
    def forward(self, x):
        return {"loss": self.body(x).square().mean()}

class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(20, 4)
    def forward(self, x):
        return "nothing to learn from"

class ByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(20, 4)
    def forward(self, x, *, scale):
        return self.body(x) * scale

def scaled(model, batch):
    return model(batch, scale=2.0).square().mean()

class Known(nn.Module):
    main_input_name = "input_ids"
    class config:
        vocab_size = 30
        to_dict = staticmethod(dict)
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(30, 16), nn.Linear(16, 5)
    def forward(self, input_ids):
        return self.head(self.embed(input_ids))

class KnownForCausalLM(Known):
    def forward(self, input_ids, labels=None):
        logits = self.embed(input_ids) @ self.embed.weight.T / 4
        return {"logits": logits, "loss": nn.functional.cross_entropy(logits.mT, labels)}

class Holder:
    class Inner(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
"""


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A folder with a module of models, named anew for each test."""
    name = f"zoo_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(ZOO)
    (tmp_path / f"{name}_broken.py").write_text("import a_module_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    for known in (name, f"{name}_broken"):
        sys.modules.pop(known, None)


def check(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["check", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_good_model_passes_and_the_report_is_written(zoo, capsys, tmp_path):
    code, out, err = check(capsys, f"{zoo}:good", "--input", "8,20", "--classes", "10")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{zoo}:good: pass")
    assert lines[1].split()[:2] == ["layer", "kind"]
    assert any(line.split()[:3] == ["0", "Linear", "relu"] for line in lines)
    assert lines[-1] == "report: initcheck-report/index.html"
    page = (tmp_path / "initcheck-report/index.html").read_text()
    assert page.startswith("<!")
    run = json.loads((tmp_path / "initcheck-report/run.json").read_text())
    assert run["tests"][0]["entries"][0]["verdict"] == "pass"


def test_a_bad_model_fails_with_layer_cause_and_remedy(zoo, capsys):
    code, out, _ = check(capsys, f"{zoo}:zero", "--input", "8,20", "--classes", "10")
    assert code == 1
    assert out.startswith(f"{zoo}:zero: fail (")
    assert "layer '0'" in out
    assert "fix: " in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("ready", "--input", "8,20", "--classes", "10"),
        ("good", "--input", "8,20", "--classes", "10", "--dtype", "float64", "--optimizer", "adam"),
        ("good", "--input", "8,20", "--classes", "10", "--loss", "mse", "--lr", "0.1"),
        ("good", "--input", "8,20", "--regression", "10", "--steps", "2", "--device", "auto"),
        ("Tokens", "--input", "8,12", "--vocab", "100", "--classes", "7"),
        ("Pixels", "--input", "2,3,8,8", "--classes", "4"),
        ("Pixels", "--input", "2,3,8,8", "--classes", "4", "--loss", "mse"),
        ("Holder.Inner", "--input", "16,5", "--regression", "2"),
    ],
    ids=" ".join,
)
def test_what_can_be_asked(zoo, capsys, arguments):
    target, *rest = arguments
    code, out, err = check(capsys, f"{zoo}:{target}", *rest)
    assert err == ""
    assert code in (0, 1)
    assert out.splitlines()[0].startswith(f"{zoo}:{target}: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("on_meta",), "a model on the meta device, which holds no values; initialise it there"),
        (("Text", "--input", "8,20"), "output holds no tensor; pass --forward module:function"),
        (("good", "--input", "8,20", "--loss", "cross_entropy", "--regression", "10"),
         "pass --classes N in place of --regression"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_says_what_to_type(zoo, capsys, arguments, said):
    code, out, err = check(capsys, f"{zoo}:{arguments[0]}", *arguments[1:])
    assert code == 2
    assert said in " ".join((out + err).split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("OwnLoss", "--input", "8,20"), "the loss is what the model returns"),
        (("Known",), "(the model's config)"),
        (("KnownForCausalLM",), "the batch (the model's config)"),
    ],
)
def test_what_a_model_says_of_itself_is_taken(zoo, capsys, arguments, said):
    code, out, err = check(capsys, f"{zoo}:{arguments[0]}", *arguments[1:])
    assert (code in (0, 1), err) == (True, "")
    assert said in " ".join(out.split())


def test_a_forward_may_call_the_model_in_its_own_way(zoo, capsys):
    code, out, err = check(capsys, f"{zoo}:ByName", "--input", "8,20", "--forward", f"{zoo}:scaled")
    assert (code, err) == (0, "")
    assert out.startswith(f"{zoo}:ByName: pass")


def test_json_is_the_whole_output(zoo, capsys):
    code, out, _ = check(
        capsys, f"{zoo}:zero", "--input", "8,20", "--classes", "10", "--json", "--report", "r.html"
    )
    data = json.loads(out)
    assert (code, data["verdict"], data["report"]) == (1, "fail", "r.html")
    assert data["findings"][0]["layer"] == "0"
    assert [layer["name"] for layer in data["layers"]] == ["0", "2"]
    assert len(data["losses"]) == 6
    assert "record" not in data
    assert list(data)[:4] == ["format", "target", "verdict", "losses"]
    assert len(out) < 6000


def test_histograms_are_in_the_json_on_request(zoo, capsys):
    out = check(capsys, f"{zoo}:good", "--json", "--histograms", "--report", "off")[1]
    data = json.loads(out)
    assert data["record"]["before"]["layers"][0]["weights"]["weight"]["histogram"]
    assert data["report"] == ""


def test_the_same_seed_gives_the_same_result(zoo, capsys):
    arguments = (f"{zoo}:good", "--input", "8,20", "--classes", "10", "--json")
    first, again = check(capsys, *arguments)[1], check(capsys, *arguments)[1]
    other = check(capsys, *arguments, "--seed", "1")[1]
    assert first == again
    assert first != other


WRONG = [
    (("{zoo}:nope",), "has no 'nope'; it has good, zero, needs"),
    (("{zoo}",), "MODULE:FACTORY"),
    (("{zoo}:",), "MODULE:FACTORY"),
    (("no_such_module:x",), "there is no module 'no_such_module'"),
    (("no_such.module:x",), "there is no module 'no_such'"),
    (("{zoo}_broken:x",), "importing '{zoo}_broken' raised ModuleNotFoundError"),
    (("{zoo}_other.py:good",), "there is no file '{zoo}_other.py'"),
    (("{zoo}:number",), "is of type int"),
    (("{zoo}:needs",), "needs() missing 1 required positional argument"),
    (("{zoo}:needs",), "pass them with --args VALUE NAME=VALUE"),
    (("{zoo}:ready", "--args", "3"), "is a model already and takes no --args"),
    (("{zoo}:good", "--loss", "hinge"), "--loss: loss_fn is 'hinge', which is no loss of torch"),
    (("{zoo}:good", "--loss", "{zoo}:none"), "has no 'none'"),
    (("{zoo}:good", "--batch", "{zoo}:boom"), "boom() raised RuntimeError: no weights here"),
    (("timm:good",), "timm:good needs timm: pip install timm"),
    (("torchvision:resnet7",), "torchvision:resnet7 raised ValueError"),
    (("{zoo}:boom",), "raised RuntimeError: no weights here"),
    (("{zoo}:leave",), "raised SystemExit"),
    (("{zoo}:other",), "returned an object of type list"),
    (("{zoo}:Holder.Inner", "--input", "8,5"), "no axis holds 10 classes; pass --classes with"),
    (("{zoo}:Tokens",), "no axis holds 10 classes; pass --classes with"),
    (("{zoo}:good", "--report", "{zoo}.py/report.html"), "cannot write the report"),
    (("{zoo}:good", "--report", "run.json"), "run.json"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda v: str(v)[:40])
def test_what_is_wrong_is_one_line_and_status_2(zoo, capsys, tmp_path, arguments, said):
    before = sorted(tmp_path.iterdir())
    usual = ["--input", "8,20"] if "--input" not in arguments else []
    given = [*usual, "--classes", "10", *(a.format(zoo=zoo) for a in arguments)]
    code, out, err = check(capsys, *given)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("initcheck: error: ")
    assert said.format(zoo=zoo) in err
    assert "Traceback" not in err
    after = [p for p in sorted(tmp_path.iterdir()) if p.name != "__pycache__"]
    assert after == before


def test_cross_entropy_needs_labels(zoo, capsys):
    code, _, err = check(
        capsys, f"{zoo}:good", "--input", "8,20", "--regression", "10", "--loss", "cross_entropy"
    )
    assert (code, "pass --classes N in place of --regression" in err) == (2, True)


@pytest.mark.parametrize("values", ["3", "1"])
def test_regression_says_how_many_values_there_are(zoo, capsys, values):
    code, _, err = check(capsys, f"{zoo}:Holder.Inner", "--input", "4,5", "--regression", values)
    assert (code, "pass --regression 2" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "TARGET"),
        (["x:y", "--input", "8:text"], "'text' is no kind of numbers"),
        (["x:y", "--input", "a b=8"], "'a b' is no name of an argument"),
        (["x:y", "--classes", "2", "--classes", "3"], "--classes: given twice; give it once"),
        (["x:y", "--seed", "2", "--seed", "2"], "--seed: given twice; give it once"),
        (["x:y", "--optimizer", "adamx"], "invalid choice"),
        (["x:y", "--input", "8,x", "--classes", "2"], "'8,x' is not a shape"),
        (["x:y", "--input", "8,0", "--classes", "2"], "'8,0' is not a shape"),
        (["x:y", "--input", "", "--classes", "2"], "'' is not a shape"),
        (["x:y", "--input", "8", "--classes", "0"], "not a whole number from 1 up"),
        (["x:y", "--input", "8", "--classes", "2", "--regression", "1"], "not allowed with"),
        (["x:y", "--input", "8", "--classes", "2", "--lr", "nan"], "not a positive number"),
        (["x:y", "--input", "8", "--classes", "2", "--lr", "x"], "not a positive number"),
        (["x:y", "--input", "8", "--classes", "2", "--steps", "0"], "from 1 up"),
        (["x:y", "--input", "8", "--classes", "2", "--seed", "-1"], "--seed"),
        (["x:y", "--input", "8", "--classes", "2", "--seed", "9" * 30], "from 0 up"),
        (["x:y", "--input", "8", "--classes", "2", "--dtype", "int8"], "invalid choice"),
        (["x:y", "--input", "8", "--classes", "2", "--unknown"], "--unknown"),
    ],
)
def test_options_that_are_wrong_are_one_line_and_status_2(capsys, arguments, said):
    code, out, err = check(capsys, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err


LOST = """
    class Lost(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = good()
            self.gain = nn.Parameter(torch.empty(20))
        def forward(self, x):
            return self.net(x * self.gain)
"""


def test_a_factory_is_built_under_record_and_its_lines_are_told(zoo, capsys):
    with open(f"{zoo}.py", "a") as file:
        file.write(textwrap.dedent(LOST))

    code, out, _ = check(capsys, f"{zoo}:Lost", "--batch", f"{zoo}:batch", "--report", "page.html")

    assert code == 1
    assert "IC111" in out
    assert "written: gain: never written" in out
    page = Path("page.html").read_text()
    assert "How it was built" in page
    assert f"{zoo}.py:6" in page
    assert str(Path.cwd()) not in page


def test_a_model_that_stood_before_has_no_ledger(zoo, capsys):
    asked = "--batch", f"{zoo}:batch", "--json", "--histograms"

    assert "ledger" not in json.loads(check(capsys, f"{zoo}:ready", *asked)[1])["record"]
    assert "0.weight" in json.loads(check(capsys, f"{zoo}:good", *asked)[1])["record"]["ledger"]


def test_of_several_ranks_the_first_writes_the_report(zoo, capsys, tmp_path, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "here"}.items():
        monkeypatch.setenv(name, value)
    code, out, _ = check(capsys, f"{zoo}:good", "--input", "8,20", "--classes", "10")
    assert code == 0
    assert "report: " not in out
    assert not (tmp_path / "initcheck-report").exists()
