"""Pooling the models of several seeds, and the progress bar."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training import experiment

from pytest_initcheck import run
from pytest_initcheck.records import Histogram, LayerRecord, ModelRecord, TensorStats, UnitStats
from pytest_initcheck.training import progress
from pytest_initcheck.training.pooling import pooled_histogram, pooled_models, pooled_stats

samples = st.lists(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=30),
    min_size=1,
    max_size=5,
)


def stats(values, bins=8):
    """The summary of some values, as numpy sees them."""
    counts, edges = np.histogram(values, bins=bins)
    histogram = Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()))
    return TensorStats(
        n=len(values),
        mean=float(np.mean(values)),
        std=float(np.std(values)),
        min=min(values),
        max=max(values),
        zero_share=float(np.mean(np.equal(values, 0))),
        histogram=histogram,
    )


@settings(deadline=None)
@given(samples)
def test_pooled_summary_is_that_of_all_values(groups):
    pooled, whole = (
        pooled_stats([stats(group) for group in groups]),
        stats([x for g in groups for x in g]),
    )
    assert pooled.n == whole.n
    scale = max(abs(pooled.min), abs(pooled.max), 1e-9)
    assert pooled.mean == pytest.approx(whole.mean, abs=1e-6 * scale)
    assert pooled.std == pytest.approx(whole.std, abs=1e-6 * scale)
    assert (pooled.min, pooled.max) == (whole.min, whole.max)
    assert pooled.zero_share == pytest.approx(whole.zero_share)


@settings(deadline=None)
@given(samples)
def test_pooled_histogram_loses_no_value(groups):
    histograms = [stats(group).histogram for group in groups]
    pooled = pooled_histogram(histograms)
    assert sum(pooled.counts) == sum(map(len, groups))
    assert min(pooled.counts) >= 0
    assert pooled.low == min(h.low for h in histograms)
    assert pooled.high == max(h.high for h in histograms)


def test_pooled_histogram_stays_smooth():
    # Ranges that differ a little, as those of seeds do, must not leave a comb of empty bins.
    rng = np.random.default_rng(0)
    groups = [rng.uniform(-1 - i / 100, 1 + i / 100, 4000).tolist() for i in range(8)]
    counts = pooled_histogram([stats(group, bins=32).histogram for group in groups]).counts
    assert max(counts[3:-3]) < 1.2 * min(counts[3:-3])


def test_one_model_is_its_own_pool():
    record = run(experiment(), seeds=1).before
    assert pooled_models([record]) == record


def test_units_are_listed_where_all_models_agree():
    layers = [
        LayerRecord(
            name="a",
            kind="Linear",
            units=UnitStats(count=4, dead_share=0.5, saturated_share=0.0, dead=(1, 2)),
        ),
        LayerRecord(
            name="a",
            kind="Linear",
            units=UnitStats(
                count=4, dead_share=0.25, saturated_share=0.5, dead=(2,), saturated=(0, 1)
            ),
        ),
    ]
    units = pooled_models([ModelRecord(layers=(layer,)) for layer in layers]).layer("a").units
    assert units == UnitStats(count=4, dead_share=0.375, saturated_share=0.25, dead=(2,))


def test_nothing_to_pool():
    assert pooled_stats([None, None]) is None
    assert pooled_histogram([None, Histogram(0.0, 0.0, ())]) is None


# ----------------------------------------------------------------------------------------------
# Progress


class Terminal:
    """Standard error as a terminal that remembers what was written."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        """Nothing waits."""

    def isatty(self):
        return True


@pytest.fixture
def on_terminal(monkeypatch):
    """Puts a terminal in place when called: pytest sets standard error between the phases."""

    def put():
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.delenv("CI", raising=False)
        return terminal

    return put


def test_bar_shows_on_a_terminal(on_terminal):
    terminal = on_terminal()
    with progress.bar(4, "training", True) as tick:
        tick(4)
    assert "training" in terminal.text


def test_short_run_shows_no_bar(on_terminal):
    terminal = on_terminal()
    run(experiment(), seeds=2)
    assert terminal.text == ""


def test_bar_is_wanted_on_terminals_outside_ci_only(on_terminal, monkeypatch):
    on_terminal()
    assert progress.wanted(None)
    monkeypatch.setenv("CI", "true")
    assert not progress.wanted(None)
    assert progress.wanted(True)
    monkeypatch.delenv("CI")
    assert not progress.wanted(False)


def test_bar_keeps_quiet_under_capture(capsys, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    assert not progress.wanted(None)
    run(experiment(), seeds=2)
    assert capsys.readouterr() == ("", "")


def test_bar_does_without_tqdm(on_terminal, monkeypatch):
    terminal = on_terminal()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    run(experiment(), seeds=2, progress=True)
    assert terminal.text == ""
