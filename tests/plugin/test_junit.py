"""JUnit properties: verdict, comparison and findings of each test."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree


def properties(project):
    tree = ElementTree.parse(project.path / "junit.xml")
    return {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in tree.iter("testcase")
    }


def test_properties_of_every_test(project, workers):
    project.test(
        test_a="""
        def test_records(initcheck):
            initcheck.compare("cost", 1.0)
        def test_silent(initcheck):
            pass
        def test_plain():
            pass
        """
    )
    project.run("--junitxml=junit.xml", *workers)
    found = properties(project)
    assert found["test_records"] == {
        "initcheck.verdict": "none",
        "initcheck.comparison": "missing",
        "initcheck.findings": "",
    }
    assert found["test_silent"] == {}
    assert found["test_plain"] == {}


def test_findings_are_listed(models):
    models.test(
        test_a="""
        import torch
        from nets import net, batch
        def test_zero(initcheck):
            model = net()
            torch.nn.init.zeros_(model[0].weight)
            torch.nn.init.zeros_(model[0].bias)
            torch.nn.init.zeros_(model[2].weight)
            initcheck.diagnose(model, batch())
        def test_good(initcheck):
            initcheck.diagnose(net(), batch())
        """
    )
    assert models.run("--junitxml=junit.xml", "--initcheck-baselines=off").ret == 0
    found = properties(models)
    assert found["test_zero"]["initcheck.verdict"] == "fail"
    assert "IC101" in found["test_zero"]["initcheck.findings"].split()
    assert found["test_good"]["initcheck.verdict"] == "pass"
    assert found["test_good"]["initcheck.comparison"] == "none"
