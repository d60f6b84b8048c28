"""The fixture, and the models of the command line, where they are given what builds a model."""

from __future__ import annotations

import json

import pytest

OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"
HEAD = """
    import torch
    from torch import nn
    from nets import batch

    class Lost(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
            nn.init.kaiming_uniform_(self.first.weight)
            self.gain = nn.Parameter(torch.empty(6))

        def forward(self, x):
            return self.last(torch.relu(self.first(x * self.gain)))

    def sound():
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

    def test_it(initcheck):
        """


def run(models, line, *args):
    models.test(test_a=HEAD + line)
    return models.run(OFF, *args)


@pytest.mark.parametrize(
    "line",
    [
        "assert initcheck.assert_healthy(sound, batch()).verdict == 'pass'",
        "initcheck.assert_no_dead_layers(sound, batch(), sigma=0.3)",
        "initcheck.assert_learns(sound, batch())",
        "initcheck.assert_not_stuck(sound, batch())",
        "assert initcheck.construction(sound).verdict == 'pass'",
    ],
)
def test_a_sound_factory_passes(models, line):
    assert run(models, line).ret == 0


def test_a_failure_names_the_line_that_wrote_the_weight(models):
    result = run(models, "initcheck.assert_healthy(Lost, batch())", REPORT)

    text = result.stdout.str()
    assert result.ret == 1
    assert "IC111" in text
    assert "gain: never written" in text


def test_the_report_holds_the_ledger_and_no_path_of_this_machine(models):
    run(models, "initcheck.diagnose(Lost, batch())", REPORT)

    stored = models.path / "report" / "run.json"
    (test,) = json.loads(stored.read_text())["tests"]
    ledger = test["entries"][0]["record"]["ledger"]
    assert ledger["gain"] == "never written"
    assert ledger["first.weight"].startswith("drawn by kaiming_uniform_(a=0")
    assert "test_a.py:" in ledger["first.weight"]
    assert str(models.path) not in "".join(ledger.values())
    assert "How it was built" in (models.path / "report" / "page.html").read_text()


def test_a_construction_is_an_entry_of_its_own(models):
    run(models, "initcheck.construction(Lost)", REPORT)

    stored = models.path / "report" / "run.json"
    (test,) = json.loads(stored.read_text())["tests"]
    (entry,) = test["entries"]
    assert (entry["kind"], entry["verdict"]) == ("construction", "fail")
    assert [finding["id"] for finding in entry["findings"]] == ["IC111"]
