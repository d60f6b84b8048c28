"""A project with all that a CI is told of, and what it looks like without a run."""

from __future__ import annotations

import os
import stat

from pytest_initcheck import report
from pytest_initcheck.records import (
    Comparison,
    Difference,
    Entry,
    Finding,
    RunRecord,
    SessionRecord,
    TestRecord,
)

NODEID = "tests/test_a.py::test_a[x|y]"
FAULTY = """
    # Imported inside: of two workers only the one that runs models needs torch.

    def test_zero(initcheck):
        import torch
        from nets import net, batch
        model = net()
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        initcheck.assert_healthy(model, batch())

    def test_other(initcheck):
        initcheck.compare("cost", {"cost": 1.0})

    def test_good(initcheck):
        from nets import net, batch
        initcheck.assert_healthy(net(), batch())
"""


def faulty(models):
    """A project with a sick start, a changed record and a sound start."""
    models.test(test_a=FAULTY)
    models.run("--initcheck-update")
    models.test(test_a=FAULTY.replace('"cost": 1.0', '"cost": 1000.0'))


def locked(project, monkeypatch):
    """A folder in which nothing can be written."""
    folder = project.path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(folder, os.W_OK):  # root may write anywhere; a full device refuses root as well
        monkeypatch.setattr("os.fsync", _full)
    return folder


def _full(_handle):
    raise OSError(28, "No space left on device")


def finding(**more):
    known = {
        "id": "IC101", "check": "zero", "severity": "error", "layer": "0", "quantity": "share",
        "measured": 1.0, "limit": 0.0, "cause": "the weights are zero", "remedy": "draw them",
    }  # fmt: skip
    return Finding(**(known | more))


def session(*findings, nodeid=NODEID, outcome="failed", name="m", ignored=(), comparison=None):
    """A session of one test."""
    entry = Entry(
        name=name,
        kind="diagnosis",
        record=RunRecord(),
        verdict="fail" if findings else "pass",
        findings=findings,
        ignored=ignored,
        comparison=comparison,
    )
    test = TestRecord(nodeid=nodeid, outcome=outcome, entries=(entry,))
    return SessionRecord(report.FORMAT, {"pytest-initcheck": "1.0"}, (test,))


def changed(count=1, key="metric cost"):
    differences = tuple(
        Difference(key=f"{key} {i}", actual="2", expected="1", allowed="0.1", excess=10.0)
        for i in range(count)
    )
    return Comparison(status="changed", differences=differences, compared=count)
