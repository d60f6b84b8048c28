"""--initcheck-backend and initcheck_backend: where the seeds of experiments are run."""

from __future__ import annotations

import importlib

import pytest
from support.engines import needs, shuffled  # noqa: F401

RUNS = """
    import torch
    from nets import batch, net
    from pytest_initcheck import Experiment
    def whole(model, moment):
        return {{}}
    def test_runs(initcheck):
        chosen = Experiment(net, batch(), epochs=1)
        found = initcheck.run(chosen, seeds=2{options})
        assert found.engine.startswith({expected!r})
        assert found == initcheck.run(chosen, seeds=2, backend="local", name="here")
    def test_escapes(initcheck):
        initcheck.assert_escapes(
            lambda w: (w**2 - 1) ** 2, 0.1, lambda p: torch.optim.SGD(p, lr=0.1),
            steps=50, noise=0.01, reached=lambda w: w > 0.5,
        )
        cells = initcheck.sweep(Experiment(net, batch(), epochs=1), sigmas=[0.1], seeds=2)
        assert cells["sigma=0.1"].engine.startswith({expected!r})
"""
OFF = "--initcheck-baselines=off"


def ran(models, expected, *args, options="", ini=""):
    models.test(test_a=RUNS.format(expected=expected, options=options))
    if ini:
        models.pytester.makeini(f"[pytest]\ninitcheck_backend = {ini}")
    return models.run(OFF, *args).ret


def test_without_it_everything_is_done_here(models):
    assert ran(models, "") == 0


@pytest.mark.parametrize("backend", ["loky", "dask://there:8786", "ray"])
def test_the_option_sends_seeds_away(models, shuffled, backend):  # noqa: F811
    assert ran(models, backend, f"--initcheck-backend={backend}") == 0
    assert len(shuffled.began) == 2 + 1 + 2


def test_the_ini_file_does_as_well(models, shuffled):  # noqa: F811
    assert ran(models, "loky", ini="loky") == 0
    assert shuffled.began


def test_the_option_goes_before_the_ini_file(models, shuffled):  # noqa: F811
    assert ran(models, "", "--initcheck-backend=local", ini="ray") == 0
    assert not shuffled.began


@pytest.mark.parametrize("options", [", engine='plain'", ", batched=True", ", backend='local'"])
def test_what_a_test_says_itself_goes_before_both(models, shuffled, options):  # noqa: F811
    models.test(
        test_a=f"""
        from nets import batch, net
        from pytest_initcheck import Experiment
        def test_runs(initcheck):
            initcheck.run(Experiment(net, batch(), epochs=1), seeds=4{options})
        """
    )
    assert models.run(OFF, "--initcheck-backend=ray").ret == 0
    assert not shuffled.began


def test_it_travels_to_workers_of_xdist(project, workers):
    project.test(
        test_a="""
        from pytest_initcheck.plugin import SETTINGS
        def test_shows(pytestconfig):
            assert pytestconfig.stash[SETTINGS].backend == "ray://head:10001"
        """
    )
    assert project.run("--initcheck-backend=ray://head:10001", *workers).ret == 0


def test_a_name_that_is_none_is_refused(project):
    result = project.run("--initcheck-backend=spark")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --initcheck-backend: backend: pass 'loky', 'dask', *"])


def test_a_name_that_is_none_is_refused_in_the_ini_file_too(project):
    project.pytester.makeini("[pytest]\ninitcheck_backend = spark")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck_backend (ini file): backend: pass *"])


def test_an_extra_that_is_missing_is_one_clear_error(models, monkeypatch):
    real = importlib.import_module

    def import_module(name, *args):
        if name == "joblib":
            raise ImportError("No module named 'joblib'")
        return real(name, *args)

    monkeypatch.setattr(
        "pytest_initcheck.backends.connection.importlib.import_module", import_module
    )
    models.test(
        test_a="""
        from nets import batch, net
        from pytest_initcheck import Experiment
        def test_runs(initcheck):
            initcheck.run(Experiment(net, batch(), epochs=1), seeds=2)
        """
    )
    result = models.run(OFF, "--initcheck-backend=dask")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["E*InitcheckError: backend 'dask' needs joblib: pip install *[[]dask*"]
    )
    assert "recording.py" not in result.stdout.str()


@needs("joblib", "cloudpickle")
def test_functions_of_a_test_file_reach_processes_that_have_no_such_file(models, monkeypatch):
    importlib.import_module("joblib")  # The inner run forgets what it alone imports.
    monkeypatch.setattr("pytest_initcheck.backends.connection.cores", lambda: 2)
    models.test(
        test_a="""
        import torch
        from torch import nn
        from pytest_initcheck import Experiment
        from nets import batch

        WIDTH = 7

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Linear(6, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3))
            def forward(self, x):
                return self.net(x)

        def test_runs(initcheck):
            chosen = Experiment(Net, batch(), epochs=1, measure=lambda m, t: {"width": WIDTH})
            found = initcheck.run(chosen, seeds=3)
            assert found.engine == "loky (3 tasks on 2 workers)"
            assert found == initcheck.run(chosen, seeds=3, backend="local")

        class Broken(Net):
            def forward(self, x):
                if torch.initial_seed() == 1:
                    raise RuntimeError("in the second")
                return super().forward(x)

        def test_fails(initcheck):
            initcheck.run(Experiment(Broken, batch(), epochs=1), seeds=3)
        """
    )
    result = models.run(OFF, "--initcheck-backend=loky")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert 'raise RuntimeError("in the second")' in text
    assert "test_a.py" in text
