"""The example project: passes as it is, and says what is wrong once its start is broken."""

from __future__ import annotations

import json

import pytest
from support.example_copy import EXAMPLES, Copy, alone

WEIGHTS = 'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")'
BIASES = "nn.init.zeros_(layer.bias)"
HEALTHY = "tests/test_reader.py::test_starts_healthy"

BROKEN = [
    (WEIGHTS, "nn.init.zeros_(layer.weight)", "layer 'strokes'", "IC101 zero"),
    (WEIGHTS, "nn.init.constant_(layer.weight, 0.01)", "layer 'strokes'", "IC201 symmetry"),
    (WEIGHTS, "nn.init.normal_(layer.weight, std=1.0)", "layer 'hidden'", "IC303 saturation"),
    (BIASES, "nn.init.constant_(layer.bias, -9.0)", "layer 'strokes'", "IC301 dead"),
]


OTHER = (WEIGHTS, "nn.init.xavier_uniform_(layer.weight)")
# One process for many copies: most of what a run takes is the import of torch.
TOGETHER = """
import contextlib, json, os, sys, pytest
for folder, *arguments in json.loads(sys.argv[1]):
    os.chdir(folder)
    with open("output.txt", "w") as output, contextlib.redirect_stdout(output):
        code = pytest.main(["-p", "no:cacheprovider", *arguments])
    with open("output.txt", "a") as output:
        output.write(f"pytest ended with {int(code)}")
    for name in [name for name in sys.modules if name.startswith(("postcodes", "test_reader"))]:
        del sys.modules[name]
"""


@pytest.fixture
def example(tmp_path):
    return Copy(tmp_path)


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """Copies by what was written into them, after a run of one test in each."""
    changes = {other: (line, other) for line, other, _, _ in BROKEN}
    changes |= {"differs": OTHER, "accepted": OTHER}
    copies, runs = {}, []
    for name, (line, other) in changes.items():
        copies[name] = Copy(tmp_path_factory.mktemp("copy"))
        copies[name].change(line, other)
        update = ["--initcheck-update"] if name == "accepted" else []
        runs.append([str(copies[name].folder), HEALTHY, *update])
    done = alone(["-c", TOGETHER, json.dumps(runs)], copies["differs"].folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return copies


def test_passes_and_writes_a_report(example):
    before = example.baselines()
    done = example.run("--initcheck-report=report/index.html")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert "baselines: 3 match" in done.stdout
    page = (example.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "test_starts_healthy" in page
    assert (example.folder / "report" / "run.json").is_file()
    assert example.baselines() == before


@pytest.mark.parametrize(
    ("other", "layer", "rule"), [b[1:] for b in BROKEN], ids=[b[3] for b in BROKEN]
)
def test_a_broken_start_fails_in_words(changed, other, layer, rule):
    output = changed[other].output()
    assert output.endswith("pytest ended with 1"), output
    first = next(text for text in output.splitlines() if "InitcheckFailure: fail: " in text)
    assert layer in first
    assert f"[{rule}]" in first
    for word in ("cause: ", "remedy: ", "report: pytest "):
        assert f"E       {word}" in output
    assert "pytest_initcheck/" not in output, "frames of the plugin hide what is wrong"


def test_the_readme_names_what_is_found():
    rows = (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    for _, other, layer, rule in BROKEN:
        (row,) = [row for row in rows if row.startswith(f"| `{other}`")]
        assert rule.split()[0] in row
        if "`" in row.split("|")[2]:
            assert layer.split("'")[1] in row


def test_another_healthy_start_differs_until_it_is_accepted(example, changed):
    output = changed["differs"].output()
    assert output.endswith("pytest ended with 1"), output
    assert "InitcheckFailure" not in output
    assert "changed: 'healthy' is not as in its baseline" in output
    assert f"accept: pytest {HEALTHY} --initcheck-update" in output
    assert changed["differs"].baselines() == example.baselines()
    assert changed["accepted"].output().endswith("pytest ended with 0")
    assert changed["accepted"].baselines() != example.baselines()
