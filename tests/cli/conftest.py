"""A project whose runs are stored."""

import pytest
from support.baseline import PROVENANCE, network
from support.stored_runs import run_of

from pytest_initcheck.baseline import Baselines


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two tests, a stored run of them, and baselines that fit it."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\ninitcheck_baselines = stored\n")
    (tmp_path / "suites/test_a.py").write_text(
        "import pytest\n"
        "def test_x(): pass\n"
        "@pytest.mark.parametrize('k', [1])\ndef test_y(k): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    Baselines("stored").update(run_of(network(0)).tests, PROVENANCE)
    return tmp_path
