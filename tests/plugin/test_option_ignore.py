"""initcheck_ignore, the marker's ignore and that of the call: they add up, and none is in vain."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

NETS = """
    import torch
    from nets import net, batch
    def zero():
        model = net()
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        return model
"""
ZERO = """
    import pytest
    {mark}
    def test_zero(initcheck):
        from zeros import zero, batch
        found = initcheck.diagnose(zero(), batch(){call})
        assert found.verdict == {verdict!r}
"""
OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"


def mark(*ignores):
    return f"@pytest.mark.initcheck(ignore={list(ignores)!r})"


def ini(models, *lines):
    text = "".join(f"\n    {line}" for line in lines)
    models.pytester.makeini(f"[pytest]\ninitcheck_ignore ={text}")


@pytest.fixture
def zeros(models):
    models.test(zeros=NETS)
    return models


def notes(result):
    return [line for line in result.outlines if line.startswith("note: ")]


def write(zeros, verdict="pass", mark="", call=""):
    zeros.test(test_a=ZERO.format(verdict=verdict, mark=mark, call=call))


def test_ignore_of_the_call_beside_one_of_the_ini_file_that_matches_nothing(zeros, workers):
    ini(zeros, "IC201: no such thing")
    write(zeros, call=", ignore='IC101: drawn later'")
    result = zeros.run(OFF, REPORT, *workers)
    assert result.ret == 0
    assert "health:    1 expected" in result.outlines
    assert "ignored:   1 finding" in result.outlines
    (note,) = notes(result)
    assert "'IC201: no such thing' of initcheck_ignore matches nothing in this run" in note
    (entry,) = zeros.entries().values()
    assert entry.get("findings", []) == []
    assert [f["ignored"] for f in entry["ignored"]] == ["drawn later"]
    page = (zeros.path / "report/page.html").read_text()
    assert "drawn later" in page
    assert "1 ignored" in page


def test_ignore_of_the_marker(zeros):
    write(zeros, mark=mark("IC101: drawn later"))
    result = zeros.run(OFF)
    assert result.ret == 0
    assert notes(result) == []


def test_ignore_of_the_ini_file(zeros):
    ini(zeros, "IC101 ?: drawn later")
    write(zeros)
    result = zeros.run(OFF)
    assert result.ret == 0
    assert notes(result) == []


def test_ignore_in_pyproject(zeros):
    zeros.pytester.makepyprojecttoml(
        '[tool.pytest.ini_options]\ninitcheck_ignore = ["IC101: drawn later"]'
    )
    write(zeros)
    assert zeros.run(OFF).ret == 0


def test_they_add_up(zeros):
    ini(zeros, "IC101 0: of the ini file")
    zeros.test(
        test_a="""
        import pytest
        from torch import nn
        from zeros import zero, net, batch
        pytestmark = pytest.mark.initcheck(ignore="IC101 2: of the module")

        def deep():
            return nn.Sequential(*zero(), nn.ReLU(), *zero_of(3, 4), nn.ReLU(), *zero_of(4, 3))

        def zero_of(n, m):
            layer = nn.Linear(n, m)
            nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
            return [layer]

        @pytest.mark.initcheck(ignore=("IC101", "4", "of the class"))
        class TestDeep:
            @pytest.mark.initcheck(baseline=False)
            def test_all(self, initcheck):
                found = initcheck.assert_healthy(deep(), batch(), ignore="IC101 6: of the call")
                assert [(f.ignored, f.layers) for f in found.ignored] == [
                    ("of the ini file", ("0",)), ("of the module", ("2",)),
                    ("of the class", ("4",)), ("of the call", ("6",)),
                ]

            def test_without_that_of_the_call(self, initcheck):
                found = initcheck.diagnose(deep(), batch())
                assert [f.layers for f in found.findings if f.severity == "error"] == [("6",)]
        """
    )
    result = zeros.run(OFF)
    assert result.ret == 0
    assert notes(result) == []


@pytest.mark.parametrize(
    "method", ["assert_healthy", "assert_symmetry_broken", "assert_gradients_flow"]
)
def test_assertions_leave_out_what_is_ignored(zeros, method):
    zeros.test(
        test_a=f"""
        import pytest
        from zeros import zero, batch
        from pytest_initcheck import Ignore, InitcheckFailure
        def test_zero(initcheck):
            with pytest.raises(InitcheckFailure):
                initcheck.{method}(zero(), batch())
            ignore = Ignore(id="IC1*", layer="*", reason="drawn later")
            initcheck.{method}(zero(), batch(), ignore=ignore)
        """
    )
    assert zeros.run(OFF).ret == 0


def test_ignored_findings_do_not_count_in_junit(zeros):
    write(zeros, call=", ignore=['IC101: drawn later', 'IC702: pascal']")
    zeros.run(OFF, "--junitxml=junit.xml")
    tree = ElementTree.parse(zeros.path / "junit.xml")
    found = {p.get("name"): p.get("value") for p in tree.iter("property")}
    assert found["initcheck.verdict"] == "pass"
    assert found["initcheck.findings"] == ""


def test_an_ignore_of_the_call_that_matches_nothing_is_a_finding(zeros):
    write(zeros, verdict="fail", call=", ignore='IC201: no such thing'")
    result = zeros.run(OFF, REPORT)
    assert result.ret == 0
    assert notes(result) == []
    (entry,) = zeros.entries().values()
    told = entry["findings"][-1]
    assert (told["id"], told["severity"]) == ("IC001", "info")
    assert "'IC201: no such thing' matches nothing" in told["cause"]


def test_an_ignore_of_the_marker_that_matches_nothing_is_noted(zeros):
    write(zeros, verdict="fail", mark=mark("IC201 a.*: no such thing", "IC10*  9: nor this"))
    result = zeros.run(OFF, REPORT)
    assert result.ret == 0
    told = [
        f"the ignore '{text}' of test_a.py::test_zero matches nothing in this run; remove it if no "
        "other run needs it"
        for text in ("IC10* 9: nor this", "IC201 a.*: no such thing")
    ]
    assert notes(result) == [f"note: {note}" for note in told]
    assert zeros.data()["notes"] == told
    (entry,) = zeros.entries().values()
    assert [f["id"] for f in entry["findings"]] == ["IC101", "IC001", "IC001"]
    assert "this run; remove it" in (zeros.path / "report/page.html").read_text()


def test_an_ignore_of_the_ini_file_that_matches_nothing_is_noted_once(zeros):
    ini(zeros, "IC201: no such thing", "IC101 0: drawn later", "# a comment", "")
    zeros.test(
        test_a="""
        import pytest
        from zeros import zero, net, batch
        @pytest.mark.parametrize("make", [net, net, zero, net])
        def test_some(initcheck, make):
            assert not {"IC001"} & {f.id for f in initcheck.diagnose(make(), batch()).findings}
        """
    )
    result = zeros.run(OFF)
    assert result.ret == 0
    (note,) = notes(result)
    assert "'IC201: no such thing' of initcheck_ignore matches nothing in this run" in note
    (note,) = notes(zeros.run(OFF, "-k", "net1"))[:1]
    assert "'IC101 0: drawn later' of initcheck_ignore matches nothing in this run" in note


def test_one_diagnosis_that_matches_is_enough(zeros):
    zeros.test(
        test_a="""
        import pytest
        from zeros import zero, net, batch

        @pytest.mark.initcheck(ignore="IC101: drawn later")
        def test_second(initcheck):
            first = initcheck.diagnose(net(), batch())
            assert [f.id for f in first.findings] == ["IC001"]
            assert "another diagnosis" in first.findings[0].remedy
            assert initcheck.diagnose(zero(), batch()).verdict == "pass"

        @pytest.mark.initcheck(ignore="IC101: drawn later")
        @pytest.mark.parametrize("make", [net, zero])
        def test_parameters(initcheck, make):
            assert initcheck.diagnose(make(), batch()).verdict == "pass"

        @pytest.mark.initcheck(ignore="IC101: drawn later")
        class TestClass:
            def test_good(self, initcheck):
                assert initcheck.diagnose(net(), batch()).findings == []
            def test_zero(self, initcheck):
                assert initcheck.diagnose(zero(), batch()).verdict == "pass"
        """
    )
    result = zeros.run(OFF)
    assert result.ret == 0
    assert notes(result) == []


def test_nothing_is_noted_where_nothing_was_diagnosed(zeros):
    ini(zeros, "IC201: no such thing")
    zeros.test(
        test_a=f"""
        import pytest
        {mark("IC101: drawn later")}
        def test_metric(initcheck):
            initcheck.compare("cost", 1.0)
        """
    )
    result = zeros.run(OFF)
    assert result.ret == 0
    assert notes(result) == []


def test_many_that_match_nothing_are_capped(zeros):
    ini(zeros, *(f"IC201 layer{i}: no such thing" for i in range(20)))
    write(zeros, verdict="fail")
    found = notes(zeros.run(OFF))
    assert len(found) == 9
    assert found[-1] == "note: 12 more ignores match nothing either"


def test_a_diagnosis_that_is_compared_by_hand_keeps_what_is_ignored(zeros):
    zeros.test(
        test_a="""
        from zeros import zero, batch
        from pytest_initcheck import diagnose
        def test_zero(initcheck):
            initcheck.compare("zero", diagnose(zero(), batch(), ignore="IC101: drawn later"))
        """
    )
    assert "ignored:   1 finding" in zeros.run(OFF).outlines


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("IC101", "the ignore of IC101 gives no reason; write 'IC101: the reason'"),
        ("all of them", "'all of them' gives no reason"),
    ],
)
def test_a_wrong_line_of_the_ini_file_is_a_usage_error(project, line, words):
    ini(project, "ACME1 a: fine", line)
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [text for text in result.errlines if text.startswith("ERROR: ")]
    assert error.startswith("ERROR: initcheck_ignore (ini file): ")
    assert words in error


def test_an_id_that_no_rule_has_is_told_by_the_first_diagnosis(zeros):
    """The rules are not imported where the ini file is read."""
    ini(zeros, "IC110: x")
    write(zeros)
    result = zeros.run(OFF)
    result.assert_outcomes(failed=1)
    assert "initcheck_ignore: no rule has the id IC110 (did you mean IC" in "\n".join(
        result.outlines
    )


def test_a_wrong_ignore_of_the_marker_is_one_clear_error(project):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.initcheck(ignore=["IC101: fine", "IC201 a.*"])
        def test_plain():
            pass
        """
    )
    result = project.run()
    result.assert_outcomes(errors=1)
    (line,) = [text for text in result.outlines if text.startswith("@pytest.mark.initcheck")]
    assert "'IC201 a.*' gives no reason" in line


def test_a_wrong_ignore_of_the_call_is_one_clear_error(zeros):
    write(zeros, call=", ignore='IC101'")
    result = zeros.run(OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: the ignore of IC101 gives no reason*"])
    assert "ignores.py" not in result.stdout.str()


def test_ids_of_a_team_are_free(zeros):
    zeros.pytester.makeconftest(
        """
        from pytest_initcheck import Finding
        class Loud:
            name = "loud"
            def run(self, evidence):
                yield Finding(id="LOUD-1", check=self.name, severity="error", layer="0",
                    quantity="noise", measured=2.0, limit=1.0, cause="loud", remedy="hush")
        def pytest_initcheck_checks(config):
            return [Loud()]
        """
    )
    ini(zeros, "LOUD-* 0: a fan is loud")
    zeros.test(
        test_a="""
        from nets import net, batch
        def test_team(initcheck):
            initcheck.assert_healthy(net(), batch())
        """
    )
    result = zeros.run(OFF)
    assert result.ret == 0
    assert notes(result) == []


def test_an_older_run_is_still_read(zeros):
    write(zeros, call=", ignore='IC101: drawn later'")
    zeros.run(OFF, REPORT)
    from pytest_initcheck.report.write import parse_run

    data = zeros.data()
    for test in data["tests"]:
        for entry in test["entries"]:
            del entry["ignored"]
    assert parse_run(json.dumps(data)).tests[0].entries[0].ignored == ()
