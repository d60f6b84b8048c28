"""The example project: passes as it is, and says what is wrong once its start is broken."""

from __future__ import annotations

import pytest
from support.example_copy import EXAMPLES, Copy, run_together

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
AS_IT_IS = "as it is"
QUIET = ["-p", "no:cacheprovider"]


@pytest.fixture
def example(tmp_path):
    return Copy(tmp_path)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Copies by what was written into them, after a run in each; of one test where it changed."""
    changes = {other: (line, other) for line, other, _, _ in BROKEN}
    changes |= {"differs": OTHER, "accepted": OTHER}
    copies, runs = {AS_IT_IS: Copy(tmp_path_factory.mktemp("copy"))}, []
    for name, (line, other) in changes.items():
        copies[name] = Copy(tmp_path_factory.mktemp("copy"))
        copies[name].change(line, other)
        update = ["--initcheck-update"] if name == "accepted" else []
        runs.append((copies[name], [*QUIET, HEALTHY, *update]))
    whole = [*QUIET, "--initcheck-report=report/index.html"]
    run_together([(copies[AS_IT_IS], whole), *runs])
    return copies


def test_passes_and_writes_a_report(example, copies):
    copy = copies[AS_IT_IS]
    output = copy.output()
    assert output.endswith("pytest ended with 0"), output
    assert "3 passed" in output
    assert "baselines: 3 match" in output
    page = (copy.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "test_starts_healthy" in page
    assert (copy.folder / "report" / "run.json").is_file()
    assert copy.baselines() == example.baselines()


@pytest.mark.parametrize(
    ("other", "layer", "rule"), [b[1:] for b in BROKEN], ids=[b[3] for b in BROKEN]
)
def test_a_broken_start_fails_in_words(copies, other, layer, rule):
    output = copies[other].output()
    assert output.endswith("pytest ended with 1"), output
    first = next(text for text in output.splitlines() if "InitcheckFailure: fail: " in text)
    assert layer in first
    assert f"fail: {rule}, " in first
    for word in ("measured  ", "cause     ", "fix       ", "report: pytest "):
        assert f"E       {word}" in output
    assert "pytest_initcheck/" not in output, "frames of the plugin hide what is wrong"


def test_the_readme_names_what_is_found():
    rows = (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    for _, other, layer, rule in BROKEN:
        (row,) = [row for row in rows if row.startswith(f"| `{other}`")]
        assert rule.split()[0] in row
        if "`" in row.split("|")[2]:
            assert layer.split("'")[1] in row


def test_another_healthy_start_differs_until_it_is_accepted(example, copies):
    output = copies["differs"].output()
    assert output.endswith("pytest ended with 1"), output
    assert "InitcheckFailure" not in output
    assert "changed: 'healthy' is not as in its baseline" in output
    assert f"accept: pytest {HEALTHY} --initcheck-update" in output
    assert copies["differs"].baselines() == example.baselines()
    assert copies["accepted"].output().endswith("pytest ended with 0")
    assert copies["accepted"].baselines() != example.baselines()
