"""``initcheck rules`` lists and explains; ``initcheck check --ignore`` takes findings out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pytest_initcheck.checks import registered, rules
from pytest_initcheck.checks.external_rules import OUTSIDE, external_rules
from pytest_initcheck.cli import main
from pytest_initcheck.ignores import NEVER

ZOO = """
import torch
from torch import nn

def zero():
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model
"""


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_every_rule_is_listed_in_a_line(capsys):
    code, out, err = run(capsys, "rules")
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == ["id", "check", "severity", "title"]
    assert [line.split()[0] for line in lines] == [rule.id for rule in rules()]
    for line, rule in zip(lines, rules(), strict=True):
        assert line.endswith(rule.title)
        assert ", ".join(rule.severities) in line
        assert len(line) <= 100
    assert {"IC001", "IC901", "IC902"} <= {line.split()[0] for line in lines}


def test_a_rule_is_explained_in_full(capsys):
    code, out, err = run(capsys, "rules", "IC201")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    (rule,) = [rule for rule in rules() if rule.id == "IC201"]
    assert out.startswith(f"IC201 {rule.title}\n")
    for text in (rule.cause, rule.limit, rule.reference, "symmetry", *rule.follows):
        assert text in words
    assert "IC203" in words.partition("explains: ")[2]
    assert 'ignore="IC201 LAYER-PATTERN: reason"' in words
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("id", [rule.id for rule in rules()])
def test_every_rule_can_be_explained(capsys, id):
    code, out, _ = run(capsys, "rules", id)
    assert code == 0
    assert "\n  cause: " in out
    assert "\n  allowed: " in out
    assert "\n  ignore it: " in out
    assert all(line.split(":", 1)[-1].strip() for line in out.splitlines())


@pytest.mark.parametrize("id", [rule.id for _, rule in external_rules()])
def test_a_rule_outside_the_checks_says_all_about_itself(capsys, id):
    out = run(capsys, "rules", id)[1]
    for fact in ("check", "severity", "measured", "from", "not where", "remedy"):
        assert f"\n  {fact}: " in out
    assert ("not possible" in out) == (id in NEVER)


def test_some_are_explained_by_how_they_begin(capsys):
    code, out, _ = run(capsys, "rules", "ic7*", "IC201", "IC702")
    assert code == 0
    heads = [line.split()[0] for line in out.splitlines() if line.startswith("IC")]
    known = [rule.id for rule in rules() if rule.id.startswith("IC7")]
    assert heads == [*known, "IC201"]


def test_all_as_json(capsys):
    code, out, _ = run(capsys, "rules", "--json")
    assert code == 0
    data = json.loads(out)
    assert [one["id"] for one in data] == [rule.id for rule in rules()]
    named = {check.name for check in registered()} | set(OUTSIDE)
    for one, rule in zip(data, rules(), strict=True):
        assert one["follows"] == sorted(rule.follows)
        assert one["severities"] == list(rule.severities)
        assert one["check"] in named
        assert all(one[key] for key in ("title", "cause", "limit", "reference"))
    (chosen,) = json.loads(run(capsys, "rules", "IC201", "--json")[1])
    assert chosen in data


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("IC210", "no rule has the id IC210 (did you mean IC"),
        ("ICX", "no rule has the id ICX"),
        ("IC88*", "no rule has the id IC88*"),
    ],
)
def test_an_unknown_id_is_wrong_use(capsys, id, words):
    code, out, err = run(capsys, "rules", "IC101", id)
    assert (code, out) == (2, "")
    assert err.startswith("initcheck: error: ")
    assert words in err
    assert len(err.splitlines()) == 1


def test_listing_the_rules_imports_no_torch():
    code = (
        "import sys; from pytest_initcheck.cli import main; main(['rules']); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL)
    assert done.returncode == 0


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A folder with a module of models, named anew for each test."""
    name = f"zoo_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(ZOO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def check(capsys, zoo: str, *arguments: str) -> tuple[int, str, str]:
    return run(
        capsys, "check", f"{zoo}:zero", "--input", "8,20", "--classes", "10", *arguments
    )  # fmt: skip


def test_check_leaves_out_what_is_ignored(zoo, capsys, tmp_path):
    code, out, err = check(capsys, zoo, "--ignore", "IC101: drawn later", "--ignore=IC702: pascal")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{zoo}:zero: pass (1 info, 1 ignored); loss ")
    assert any(line.startswith("ignored (drawn later): error IC101 zero: ") for line in lines)
    assert any("'IC702: pascal' matches nothing" in line for line in lines)
    page = (tmp_path / "initcheck-report/index.html").read_text()
    assert "drawn later" in page


def test_check_leaves_out_some_layers(zoo, capsys):
    code, out, _ = check(capsys, zoo, "--ignore", "IC101 0: drawn later")
    assert code == 1
    assert "(1 error, 1 ignored)" in out.splitlines()[0]
    assert "\nerror IC101 zero: layer '2'" in out


def test_check_tells_what_is_ignored_as_json(zoo, capsys):
    code, out, _ = check(capsys, zoo, "--json", "--ignore", "IC101: why", "--ignore", "IC2* a: b")
    assert code == 0
    data = json.loads(out)
    assert data["verdict"] == "pass"
    assert [f["id"] for f in data["findings"]] == ["IC001"]
    assert [(f["id"], f["ignored"]) for f in data["ignored"]] == [("IC101", "why")]
    assert data["unused_ignores"] == ["IC2* a: b"]


def test_check_refuses_a_wrong_ignore_before_it_imports_anything(capsys):
    code, out, err = run(
        capsys, "check", "no_such:model", "--input", "8", "--classes", "2", "--ignore", "IC101"
    )
    assert (code, out) == (2, "")
    assert err.startswith("initcheck: error: --ignore: the ignore of IC101 gives no reason")
