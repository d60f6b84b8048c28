"""--initcheck-device, the marker's device and initcheck_device: where models run."""

from __future__ import annotations

import pytest
import torch

SHOWS = """
    import pytest
    from nets import net, batch
    {mark}
    def test_shows(initcheck):
        found = initcheck.diagnose(net(), batch())
        assert found.record.meta["device"] == {expected!r}
"""
BEST = "cuda" if torch.cuda.is_available() else "cpu"
CUDA = "@pytest.mark.initcheck(device='cuda')"
CPU = "@pytest.mark.initcheck(device='cpu')"
OFF = "--initcheck-baselines=off"


def run(models, expected, *args, mark="", ini=""):
    models.test(test_a=SHOWS.format(expected=expected, mark=mark))
    if ini:
        models.pytester.makeini(f"[pytest]\ninitcheck_device = {ini}")
    return models.run(OFF, *args)


def test_models_stay_where_they_are(models):
    assert run(models, "cpu").ret == 0


def test_auto_is_the_best_there_is(models):
    assert run(models, BEST, "--initcheck-device=auto").ret == 0


def test_option_travels_to_workers(project, workers):
    project.test(
        test_a="""
        from pytest_initcheck.plugin import SETTINGS
        def test_shows(pytestconfig):
            assert pytestconfig.stash[SETTINGS].device == "cuda"
        """
    )
    assert project.run("--initcheck-device=cuda", *workers).ret == 0


def test_option_goes_before_marker_and_ini(models):
    assert run(models, "cpu", "--initcheck-device=cpu", mark=CUDA, ini="cuda").ret == 0


def test_marker_goes_before_ini(models):
    assert run(models, "cpu", mark=CPU, ini="cuda").ret == 0


def test_argument_of_the_call_goes_before_all(models):
    models.test(
        test_a="""
        from nets import net, batch
        def test_shows(initcheck):
            initcheck.diagnose(net(), batch(), device="cpu")
        """
    )
    assert models.run(OFF, "--initcheck-device=cuda").ret == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no cuda")
def test_no_cuda_is_one_clear_error(models):
    result = run(models, "cuda", ini="cuda")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: device 'cuda' cannot be used here: *'auto'*"])
    assert "recording.py" not in result.stdout.str()


def test_unknown_device_is_refused(project):
    result = project.run("--initcheck-device=gpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--initcheck-device: invalid choice: 'gpu'*"])


def test_unknown_device_of_the_ini_is_refused(project):
    project.pytester.makeini("[pytest]\ninitcheck_device = gpu")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck_device = gpu: must be one of cpu, cuda, auto"])
