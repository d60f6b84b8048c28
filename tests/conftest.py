"""Fixtures for the tests of the plugin: a small project and how to run it."""

from __future__ import annotations

import gc
import sys
import types

import hypothesis
import pytest
from support.distributions import Distributions
from support.quick_python import QuickPython

from pytest_initcheck.testing import project as testing

MODEL = """
import torch
from torch import nn

def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

def batch(seed=1):
    torch.manual_seed(seed)
    return torch.randn(64, 6), torch.randint(0, 3, (64,))
"""

# Hypothesis' plugin imports all of hypothesis in every inner run.
QUICK = ("-p", "no:hypothesispytest")
SERVER = pytest.StashKey[QuickPython]()


def pytest_configure():
    """Look for garbage seldom: all of torch and thousands of tests are alive, and stay so."""
    gc.set_threshold(20_000)
    # What takes long says nothing on a machine that others use.
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Jobs of several ranks come first: after a test that compiles they cannot be forked."""
    items.sort(key=lambda item: "distributed" not in item.path.parts)


def pytest_collection_finish():
    """Do not look for garbage in what lives as long as the session, nor note who seeds torch.

    At every seed torch formats the whole stack for each kind of device that is not in use yet, to
    be shown should the seed fail there: up to a millisecond below pytest.
    """
    gc.freeze()
    for kind in ("cuda", "mtia", "xpu"):
        if (module := sys.modules.get(f"torch.{kind}")) and hasattr(module, "traceback"):
            module.traceback = types.SimpleNamespace(format_stack=list)


@pytest.fixture(autouse=True)
def no_ci(monkeypatch):
    """Inner runs do not speak to the CI that runs these tests."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def imported():
    """Import what inner runs import lazily."""
    testing.import_runs()


@pytest.fixture(scope="session")
def warm():
    """Import what inner runs with models import lazily."""
    testing.warm()


class Project(testing.Project):
    """A project as teams have it for their checks, with what tests of the plugin need besides."""

    test = testing.Project.write

    def run_alone(self, *args):
        """Run pytest in a process of its own."""
        return self.pytester.runpytest_subprocess(*QUICK, *args)

    def entries(self, path="report/run.json"):
        """All entries of a run.json by node id and name."""
        return {
            (test["nodeid"], entry["name"]): entry
            for test in self.data(path)["tests"]
            for entry in test.get("entries", [])
        }


@pytest.fixture
def wide(monkeypatch):
    """Lines of inner runs are not wrapped, so that a test can say what stands in one."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def project(imported, pytester, wide):
    """A project without models; what it records are metrics, which need no torch."""
    return Project(pytester)


@pytest.fixture
def models(warm, pytester, wide):
    """A project with a module ``nets`` that has ``net()`` and ``batch()``."""
    pytester.makepyfile(nets=MODEL)
    return Project(pytester)


@pytest.fixture
def distributions(tmp_path_factory, monkeypatch):
    """Distributions of others, as if they were installed, for the length of the test."""
    before = set(sys.modules)
    made = Distributions(tmp_path_factory.mktemp("installed"), monkeypatch)
    yield made
    for name in {place.name for place in made.folder.iterdir()} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Workers of pytest-xdist share one server of processes, which their controller holds."""
    held = node.config.stash
    if SERVER not in held:
        held[SERVER] = QuickPython()
        node.config.add_cleanup(held[SERVER].close)
    node.workerinput["forked_python"] = held[SERVER].executable


@pytest.fixture(scope="session")
def forked_python(pytestconfig):
    """An executable that forks a Python that has torch imported already."""
    if shared := getattr(pytestconfig, "workerinput", {}).get("forked_python"):
        yield shared
        return
    server = QuickPython()
    yield server.executable
    server.close()


@pytest.fixture
def quick_python(forked_python, monkeypatch):
    """The processes that the test starts need not import torch; they are processes all the same."""
    monkeypatch.setattr(sys, "executable", forked_python)


@pytest.fixture(params=[(), ("-n0",), ("-n2",)], ids=["plain", "n0", "n2"])
def workers(request):
    """The three ways in which pytest runs tests: without xdist's help, and with it.

    One test of an option in these ways is enough: each costs two more processes.
    """
    if request.param == ("-n2",):
        request.getfixturevalue("quick_python")
    return request.param
