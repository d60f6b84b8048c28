"""causal= of the call, of the marker and of the command line: who says that a model is causal."""

from __future__ import annotations

import json
import sys

import pytest

from pytest_initcheck.cli import main

NETS = """
    import torch
    from torch import nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.words, self.head = nn.Embedding(23, 16), nn.Linear(16, 23)
            self.mix = nn.GRU(16, 8, batch_first=True, bidirectional=True)

        def forward(self, ids):
            return self.head(self.mix(self.words(ids))[0])

    def batch():
        ids = torch.randint(0, 23, (4, 5), generator=torch.Generator().manual_seed(1))
        return ids, ids.roll(-1, 1)
"""
SHOWS = """
    import pytest
    {mark}
    def test_shows(initcheck):
        from readers import Reader, batch
        found = initcheck.diagnose(Reader(), batch(){call})
        assert ("IC806" in [f.id for f in found.findings]) == {expected}
"""
OFF = "--initcheck-baselines=off"
MARK = "@pytest.mark.initcheck(causal={})"


@pytest.fixture
def readers(models):
    models.test(readers=NETS)
    return models


@pytest.mark.parametrize(
    ("mark", "call", "expected"),
    [
        ("", "", False),
        ("", ", causal=True", True),
        ("", ", causal=False", False),
        (MARK.format(True), "", True),
        (MARK.format(True), ", causal=False", False),
        (MARK.format(False), ", causal=True", True),
        (MARK.format(None), "", False),
    ],
)
def test_the_call_goes_before_the_marker(readers, mark, call, expected):
    readers.test(test_a=SHOWS.format(mark=mark, call=call, expected=expected))
    readers.run(OFF).assert_outcomes(passed=1)


def test_assertions_take_it_too(readers):
    readers.test(
        test_a="""
        from readers import Reader, batch
        def test_healthy(initcheck):
            initcheck.assert_healthy(Reader(), batch(), causal=True)
        """
    )
    result = readers.run(OFF)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*IC806 dependencies*", "*the model is causal (causal=True)*"])


def test_the_marker_travels_to_workers(readers, workers):
    readers.test(test_a=SHOWS.format(mark=MARK.format(True), call="", expected=True))
    readers.run(OFF, *workers).assert_outcomes(passed=1)


def test_command_line(tmp_path, monkeypatch, capsys):
    text = "\n".join(line.removeprefix("    ") for line in NETS.splitlines())
    (tmp_path / "causal_readers.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["check", "causal_readers:Reader", "--input", "4,10", "--vocab", "23", "--json"]
    words += ["--classes", "23"]
    main(words)
    assert "IC806" not in capsys.readouterr().out
    assert main([*words, "--causal"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["findings"][0]["id"] == "IC806"
    assert found["findings"][0]["layer"] == "mix"
    sys.modules.pop("causal_readers", None)
