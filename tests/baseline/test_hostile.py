"""A quick part of the harnesses: fuzzed files for every reader, and updates that are disturbed."""

import sys

import pytest

from benchmarks import fuzz_baselines, kill_updates


def test_fuzzed_files_are_read_or_refused():
    tally = fuzz_baselines.fuzz(1_500, seed=1)
    assert tally.faults == []
    for name in ("baseline", "run.json", "ini"):
        assert tally.counts[f"{name}: read"], "every input is refused at the door"
        assert tally.counts[f"{name}: refused"]


def test_a_reader_that_lets_an_error_through_is_told():
    tally = fuzz_baselines.Tally()
    tally.hand("x", lambda: 1 // 0, b"input")
    assert tally.faults == ["x: ZeroDivisionError: integer division or modulo by zero: b'input'"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_disturbed_updates_lose_nothing(capsys):
    assert kill_updates.main(["8"]) == 0
    out = capsys.readouterr().out
    assert "8 trials: 3 killed, 2 interrupted, 1 crowded, 1 read_only, 1 full" in out
