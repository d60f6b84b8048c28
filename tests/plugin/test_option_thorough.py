"""initcheck_thorough, the marker's thorough and that of the call."""

from __future__ import annotations

import pytest

SHOWS = """
    import pytest
    from nets import net, batch
    {mark}
    def test_shows(initcheck):
        found = initcheck.{method}(net(), batch(){call})
        assert (found.learning is not None) == {expected}
"""
OFF = "--initcheck-baselines=off"
MARK = "@pytest.mark.initcheck(thorough={})"


def run(models, expected, *args, mark="", ini="", call="", method="diagnose"):
    text = SHOWS.format(expected=expected, mark=mark, call=call, method=method)
    models.test(test_a=text)
    if ini:
        models.pytester.makeini(f"[pytest]\ninitcheck_thorough = {ini}")
    return models.run(OFF, *args)


def test_by_default_a_diagnosis_is_not_thorough(models):
    assert run(models, False).ret == 0


def test_the_marker_makes_it_thorough(models):
    assert run(models, True, mark=MARK.format(True)).ret == 0


@pytest.mark.parametrize("method", ["diagnose", "assert_healthy"])
def test_the_call_makes_it_thorough(models, method):
    assert run(models, True, call=", thorough=True", method=method).ret == 0


def test_the_marker_goes_before_the_ini_file(models):
    assert run(models, False, mark=MARK.format(False), ini="true").ret == 0


def test_the_call_goes_before_the_marker_and_the_ini_file(models):
    given = {"mark": MARK.format(True), "ini": "true", "call": ", thorough=False"}
    assert run(models, False, **given).ret == 0


def test_a_marker_of_none_leaves_it_to_the_ini_file(models):
    assert run(models, True, mark=MARK.format(None), ini="1").ret == 0


def test_an_assertion_about_one_aspect_asks_for_nothing_more(models):
    assert run(models, False, ini="true", method="assert_no_dead_layers").ret == 0


def test_a_marker_that_is_no_choice_is_refused(models):
    result = run(models, True, mark=MARK.format("'yes'"))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*thorough='yes'): must be True, False or None*"])


def test_an_ini_value_that_is_no_choice_is_refused(project):
    project.pytester.makeini("[pytest]\ninitcheck_thorough = perhaps")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck_thorough (ini file): *perhaps*"])


def test_the_ini_file_fails_a_test_and_the_report_shows_the_trials(models, workers):
    models.pytester.makeini("[pytest]\ninitcheck_thorough = true")
    models.test(
        test_a="""
        def test_dead(initcheck):
            from torch import nn
            from nets import net, batch
            model = net()
            nn.init.constant_(model[0].bias, -100.0)
            initcheck.assert_healthy(model, batch())
        """
    )
    result = models.run(OFF, "--initcheck-report=report/page.html", *workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*leads to error IC820 fit: model: lowest loss in *"])
    ((_, entry),) = models.entries().items()
    assert [name for name in entry["record"]["shown"] if name.startswith("loss, Adam")]
    assert "loss, Adam, lr 0.003" in (models.path / "report/page.html").read_text()
