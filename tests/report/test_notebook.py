"""What a notebook shows: short texts, the report's page, figures and tables of all results."""

from __future__ import annotations

import html
import io
import re
import sys
import types

import pytest
import torch
from torch import nn

from pytest_initcheck import (
    Experiment,
    check_step,
    construction,
    diagnose,
    escape,
    learns,
    run,
    sweep,
    watch,
)
from pytest_initcheck.baseline.compare import compare
from pytest_initcheck.records import Comparison, Difference, RunRecord
from pytest_initcheck.training import progress

DATA = torch.randn(16, 6), torch.randint(0, 3, (16,))


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def shown():
    """One of each result."""
    torch.manual_seed(0)
    experiment = Experiment(
        net, DATA, optimizer=lambda p: torch.optim.SGD(p, lr=0.1), epochs=2, batch_size=8
    )
    ran = run(experiment, seeds=2)
    changed = Difference(
        key="metric accuracy", actual="0.5", expected="0.9", allowed="0.1", excess=4.0
    )
    return {
        "diagnosis": diagnose(net(), DATA),
        "run": ran,
        "sweep": sweep(experiment, sigmas=[0.1, 0.2], seeds=2),
        "escape": escape(lambda w: w**2, 1.0, lambda p: torch.optim.SGD(p, lr=0.1), 4, seeds=2),
        "comparison": Comparison(
            status="changed", differences=(changed,), compared=7, expected=ran
        ),
    }


KINDS = ("diagnosis", "run", "sweep", "escape", "comparison")


@pytest.mark.parametrize("kind", KINDS)
def test_a_repr_is_short(shown, kind):
    text = repr(shown[kind])
    assert len(text) < 200
    assert "\n" not in text
    assert text.lower().startswith(("runrecord" if kind == "run" else kind) + "(")


@pytest.mark.parametrize("kind", KINDS)
def test_a_notebook_shows_the_reports_page(shown, kind):
    text = shown[kind]._repr_html_()
    page = html.unescape(re.search(r'srcdoc="(.*?)" title', text, re.DOTALL)[1])
    assert page.lower().startswith("<!doctype html>")
    assert "sandbox" in text
    assert {"sweep": "sigma=0.1", "comparison": "metric accuracy"}.get(kind, kind) in page


@pytest.mark.parametrize("kind", KINDS)
def test_a_plot_has_labels_and_is_written_as_vectors(shown, kind):
    figure = shown[kind].plot()
    written = io.StringIO()
    figure.savefig(written, format="svg")
    assert "<svg" in written.getvalue()
    assert figure.axes


@pytest.mark.parametrize(("kind", "name"), [("run", "loss"), ("sweep", "loss")])
def test_curves_are_named_with_their_axis(shown, kind, name):
    axes = shown[kind].plot().axes
    assert name in [axis.get_ylabel() for axis in axes]
    assert all(axis.get_xlabel() == "epoch" for axis in axes)


def test_histograms_say_what_their_axes_are(shown):
    axes = shown["diagnosis"].plot().axes
    assert axes[0].get_ylabel() == "share of values"
    assert axes[-1].get_xlabel() == "value"


def test_lines_of_a_sweep_differ_in_colour_and_in_style(shown):
    lines = shown["sweep"].plot().axes[0].lines
    assert [line.get_label() for line in lines] == ["sigma=0.1", "sigma=0.2"]
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("diagnosis", {"layer", "moment", "tensor", "mean"}),
        ("run", {"kind", "name", "seed", "step", "value"}),
        ("sweep", {"cell", "name", "seed", "step", "value"}),
        ("escape", {"kind", "name", "seed", "step", "value"}),
        ("comparison", {"key", "actual", "expected", "allowed", "excess"}),
    ],
)
def test_a_frame_has_a_row_for_each_value(shown, kind, columns):
    frame = shown[kind].to_frame()
    assert columns <= set(frame.columns)
    assert len(frame)


def test_the_rows_of_a_run_are_its_values(shown):
    record, frame = shown["run"], shown["run"].to_frame()
    curves = frame[(frame.kind == "curve") & (frame.seed == record.seeds[1])]
    loss = curves[curves.name == "loss"]
    assert tuple(loss.value) == record.curves["loss"][1]
    cells = shown["sweep"].to_frame()
    assert set(cells.cell) == set(shown["sweep"])


def test_metrics_alone_and_nothing_at_all_are_drawn():
    assert RunRecord(metrics={"cost": (1.0, 2.0)}).plot().axes[0].get_ylabel() == "cost"
    assert "nothing was measured" in RunRecord().plot().axes[0].texts[0].get_text()
    same = compare(RunRecord(metrics={"cost": (1.0,)}), RunRecord(metrics={"cost": (1.0,)}))
    assert "no difference" in same.plot().axes[0].texts[0].get_text()
    assert len(same.to_frame()) == 0


@pytest.mark.parametrize(("shell", "ci", "bar"), [
    ("ZMQInteractiveShell", "", True),
    ("ZMQInteractiveShell", "1", False),
    ("TerminalInteractiveShell", "", False),
])  # fmt: skip
def test_a_notebook_has_a_bar_and_ci_has_none(monkeypatch, shell, ci, bar):
    kernel = types.SimpleNamespace(get_ipython=type(shell, (), {}))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setenv("CI", ci)
    assert progress.wanted(None) == bar


@pytest.fixture(scope="module")
def results():
    """One of each result that says how it stands, with what its picture is about."""
    torch.manual_seed(0)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    found = diagnose(model, DATA)
    with watch(model, optimizer, every=1) as watched:
        step(model, optimizer, DATA)
    return {
        "learning": (learns(net(), DATA), "loss"),
        "critical point": (found.critical_point(), "Hessian"),
        "step": (check_step(step, model, optimizer, DATA), "loss"),
        "watched": (watched, "share of values"),
        "construction": (construction(net), "parameters"),
        "dependencies": (found.dependencies(), "share that moved"),
        "σ": (found.sigma_range("0"), "σ"),
    }


KINDS = ("learning", "critical point", "step", "watched", "construction", "dependencies", "σ")


@pytest.mark.parametrize("kind", KINDS)
def test_every_result_is_drawn_tabled_and_shown(results, kind):
    result, about = results[kind]
    assert len(repr(result)) < 200
    labels = [
        text
        for axis in result.plot().axes
        for text in (axis.get_xlabel(), axis.get_ylabel(), axis.get_title())
    ]
    assert about in " ".join(labels), labels
    assert len(result.to_frame()) > 0
    page = result._repr_html_()
    assert page.startswith(("<iframe srcdoc=", "<p>"))
    assert "<script>" not in page


def test_what_a_notebook_tables_is_text():
    def evil():
        model = nn.Sequential()
        model.register_module("<b>x</b>", nn.Linear(2, 2))
        return model

    assert "<b>x" not in construction(evil)._repr_html_()
