"""--initcheck-repro: a script for each diagnosis that fails a test, and --initcheck-repro-data."""

from __future__ import annotations

import pytest

from pytest_initcheck.diagnosis.repro import MOST_NUMBERS

TEST = """
    import torch
    from torch import nn
    from nets import net, batch

    def test_zero(initcheck):
        model = net()
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        initcheck.assert_healthy(model, batch(), nn.CrossEntropyLoss(),
                                 lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5), steps=3)

    def test_sound(initcheck):
        initcheck.assert_healthy(net(), batch())
"""
OFF = "--initcheck-baselines=off"
NAME = "test_a_py_test_zero.py"


def ran(models, *arguments):
    models.test(test_a=TEST)
    result = models.run(OFF, *arguments)
    result.assert_outcomes(passed=1, failed=1)
    return result


def scripts(models):
    return {p.name: p.read_text() for p in (models.path / "repro").glob("*")}


def test_a_failing_diagnosis_leaves_a_script_that_shows_it_again(models, workers, capsys):
    result = ran(models, "--initcheck-repro=repro", *workers)
    result.stdout.fnmatch_lines([f"*script: {NAME} in the folder of --initcheck-repro"])
    found = scripts(models)
    assert list(found) == [NAME]
    exec(compile(found[NAME], NAME, "exec"), {})
    assert "IC101" in capsys.readouterr().out


def test_what_it_holds(models):
    ran(models, "--initcheck-repro=repro")
    text = scripts(models)[NAME]
    assert "nn.Sequential(nn.Linear(in_features=6, out_features=16, bias=True), nn.ReLU()" in text
    assert "loss_fn=nn.CrossEntropyLoss()" in text
    assert "optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)" in text
    assert "steps=3" in text
    assert "torch.randint(0, 3, (64,))" in text
    assert str(models.path) not in text


@pytest.mark.parametrize("asked", [False, True])
def test_the_data_are_written_where_they_are_asked_for_alone(models, asked):
    ran(models, "--initcheck-repro=repro", *["--initcheck-repro-data"] * asked)
    text = scripts(models)[NAME]
    assert ("those of the test" in text) == asked
    assert ("torch.tensor([[" in text) == asked
    if asked:
        exec(compile(text, NAME, "exec"), {})


def test_data_that_are_no_small_script_stay_out(models):
    models.test(
        test_a=f"""
        import torch
        from torch import nn

        def test_zero(initcheck):
            model = nn.Linear(1000, 3)
            nn.init.zeros_(model.weight)
            x = torch.randn({MOST_NUMBERS // 1000 + 1}, 1000)
            initcheck.assert_healthy(model, (x, torch.full((len(x),), 2)), steps=1,
                optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
        """
    )
    assert models.run(OFF, "--initcheck-repro=repro", "--initcheck-repro-data").ret == 1
    assert len(scripts(models)[NAME]) < 2000


def test_a_class_of_ones_own_is_imported(models):
    models.write(
        own_of_repro="""
        from torch import nn
        class Own(nn.Module):
            def __init__(self, width, depth=2):
                super().__init__()
                self.width = width
                self.body = nn.Linear(width, 3)
            def forward(self, x):
                return self.body(x * 0)
        """
    )
    models.test(
        test_a="""
        from own_of_repro import Own
        from nets import batch
        def test_zero(initcheck):
            initcheck.assert_healthy(Own(6), batch())
        """
    )
    assert models.run(OFF, "--initcheck-repro=repro").ret == 1
    text = scripts(models)[NAME]
    assert "from own_of_repro import Own" in text
    assert "model = Own(width=6)" in text


def test_without_it_nothing_is_written(models):
    ran(models)
    assert not (models.path / "repro").exists()


def test_an_empty_folder_is_refused(models):
    result = models.run("--initcheck-repro=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--initcheck-repro is empty: give the path of a folder*"])
