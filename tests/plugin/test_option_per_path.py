"""initcheck_per_path: settings of tests by their path, as a linter has them."""

from __future__ import annotations

import pytest

OFF = "--initcheck-baselines=off"
TEST = """
    from torch import nn
    from nets import net, batch

    def test_zero(initcheck):
        model = net()
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        initcheck.assert_healthy(model, batch())
"""


def run(models, *lines, arguments=()):
    models.write(nets_home="")
    for folder in ("old", "new"):
        (models.path / folder).mkdir(exist_ok=True)
        text = "\n".join(line.removeprefix("    ") for line in TEST.splitlines())
        (models.path / folder / f"test_{folder}.py").write_text(text)
    listed = "".join(f"\n    {line}" for line in lines)
    models.pytester.makeini(f"[pytest]\npythonpath = .\ninitcheck_per_path ={listed}\n")
    return models.run(OFF, "-rA", *arguments)


def outcome(result):
    """Which of the two files pass."""
    said = result.stdout.str()
    return {name for name in ("old", "new") if f"PASSED {name}/test_{name}.py" in said}


@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        ([], set()),
        (["old: select IC4*"], {"old"}),
        (["old/: select IC4*"], {"old"}),
        (["old/*: select IC4*"], {"old"}),
        (["*/test_old.py: select IC4*"], {"old"}),
        (["*: select IC4*", "new: select IC1*"], {"old"}),
        (["old: ignore IC*: drawn elsewhere"], {"old"}),
        (["old: ignore IC1* 0: a", "old: ignore IC1* 2: b", "old: ignore IC*: c"], {"old"}),
        (["older: select IC4*"], set()),
    ],
)
def test_a_line_holds_for_the_tests_that_it_speaks_of(models, lines, passes):
    assert outcome(run(models, *lines)) == passes


def test_it_holds_on_workers_too(models, workers):
    assert outcome(run(models, "old: select IC4*", arguments=workers)) == {"old"}


def test_strict_and_thorough_by_path(models):
    from pytest_initcheck.plugin.selecting import PathRule, is_on

    rules = {"strict": "", "thorough": "off"}
    assert is_on(rules, "strict") is True
    assert is_on(rules, "thorough") is False
    assert is_on({}, "strict") is None
    assert PathRule("tests/a", "strict").speaks_of("tests/a/test_b.py::test_c[x::y]")
    assert not PathRule("tests/a", "strict").speaks_of("tests/ab/test_b.py::test_c")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("old select IC4*", "write PATTERN: select"),
        ("old: choose IC4*", "write PATTERN: select"),
        ("old: select", "write PATTERN: select"),
        ("old: select zero", "'zero' is no rule"),
        ("old: ignore IC201", "gives no reason"),
        ("old: strict please", "write PATTERN: select"),
    ],
)
def test_a_line_that_says_nothing_is_refused(models, line, said):
    result = run(models, line)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*initcheck_per_path (ini file): *{said}*"])
