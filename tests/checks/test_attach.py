"""What follows from a finding is told with it, once, and never the other way round."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest
import torch
from support.starts import constant, ids, labelled, mlp, named, normal, sgd, told, weighted
from support.told import Told
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.checks import judge, rules


def test_no_rule_follows_from_itself_through_others():
    order = list(TopologicalSorter({rule.id: rule.follows for rule in rules()}).static_order())
    assert set(order) == {rule.id for rule in rules()}


def attached(*findings):
    """The ids of the findings that are left, each with those of its consequences."""
    left = judge(None, [Told(*findings)])
    return {f.id: [line.split()[1] for line in f.consequences] for f in left}


def test_consequences_hang_from_the_root_through_chains():
    chain = ("A1", "error", ()), ("B1", "error", ("A1",)), ("C1", "warning", ("B1",))
    assert attached(*chain) == {"A1": ["B1", "C1"]}
    assert attached(*chain[::-1]) == {"A1": ["C1", "B1"]}


def test_a_missing_link_breaks_the_chain():
    assert attached(("A1", "error", ()), ("C1", "error", ("B1",))) == {"A1": [], "C1": []}


def test_a_warning_explains_no_error():
    assert attached(("A1", "warning", ()), ("B1", "error", ("A1",))) == {"B1": [], "A1": []}
    assert attached(("A1", "warning", ()), ("B1", "warning", ("A1",))) == {"A1": ["B1"]}
    assert attached(("A1", "error", ()), ("B1", "warning", ("A1",))) == {"A1": ["B1"]}
    assert attached(("A1", "info", ()), ("B1", "warning", ("A1",))) == {"B1": [], "A1": []}


def test_what_a_warning_in_the_middle_cannot_explain_stands_alone():
    found = attached(("A1", "error", ()), ("B1", "warning", ("A1",)), ("C1", "error", ("B1",)))
    assert found == {"A1": ["B1"], "C1": []}


def test_an_own_check_may_find_a_rule_twice_or_in_a_circle():
    """Rules of others are not ours to trust: nothing hangs, and nothing is lost."""
    for findings in (
        [("A1", "error", ("A1",))],
        [("A1", "error", ("B1",)), ("B1", "error", ("A1",))],
        [("A1", "error", ("C1",)), ("B1", "error", ("A1",)), ("C1", "error", ("B1",))],
    ):
        left = attached(*findings)
        assert len(left) + sum(map(len, left.values())) == len(findings)
        assert len(left) == 1


STARTS = {
    "dead": lambda: weighted(mlp(nn.ReLU, 20, 32, 32, 3), normal(0.2), "2", bias=-30.0),
    "zero": lambda: weighted(mlp(nn.ReLU, 20, 32, 32, 32, 3), constant(0.0), "2", "4"),
    "constant": lambda: weighted(mlp(nn.Tanh, 20, 32, 32, 3), constant(0.5)),
    "huge": lambda: weighted(mlp(nn.ReLU, 20, 256, 256, 3), normal(1.0)),
    "saturated": lambda: weighted(mlp(nn.Tanh, 20, 64, 64, 3), normal(5.0)),
    "vanishing": lambda: mlp(nn.Sigmoid, 20, *[32] * 10, 3),
    "not finite": lambda: weighted(mlp(nn.ReLU, 20, 32, 3), constant(float("nan")), "0"),
}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("optimizer", [None, sgd(50.0)], ids=["default", "blown"])
def test_each_cause_is_told_once_and_nothing_is_told_twice(name, optimizer):
    found = diagnose(STARTS[name](), labelled(), optimizer=optimizer)
    assert found.verdict == "fail"
    follows = {rule.id: rule.follows for rule in rules()}
    assert len(ids(found)) + sum(len(f.consequences) for f in found.findings) == len(told(found))
    for finding in found.findings:
        assert not any(
            other.id in follows[finding.id] for other in found.findings
            if ranks[other.severity] <= ranks[finding.severity]
        )  # fmt: skip
        for line in finding.consequences:
            severity, id = line.split()[:2]
            assert ranks[severity] >= ranks[finding.severity]
            assert finding.id in reached(id, follows)


ranks = {"error": 0, "warning": 1, "info": 2}


def reached(id, follows):
    """Every id that explains this one, directly or through others."""
    found, open_ids = set(), [id]
    while open_ids:
        new = follows[open_ids.pop()] - found
        found |= new
        open_ids += new
    return found


@pytest.mark.parametrize(("name", "root"), [
    ("dead", "IC301"), ("zero", "IC101"), ("constant", "IC201"), ("not finite", "IC501"),
    ("saturated", "IC303"), ("huge", "IC703"),
])  # fmt: skip
def test_the_root_is_the_one_error_of_the_start(name, root):
    found = diagnose(STARTS[name](), labelled())
    assert [f.id for f in found.findings if f.severity == "error"] == [root], str(found)


def test_a_reduced_rate_takes_only_its_own_finding_away():
    calm = diagnose(STARTS["saturated"](), labelled(), optimizer=sgd(1e-3))
    blown = diagnose(STARTS["saturated"](), labelled(), optimizer=sgd(500.0))
    assert ids(calm) == ids(blown) == ["IC303"]
    assert any("IC603" in line for line in named(blown, "IC303").consequences)
    assert not any("IC603" in line for line in named(calm, "IC303").consequences)


def test_consequences_are_the_lines_of_their_findings():
    found = diagnose(STARTS["dead"](), labelled())
    lines = named(found, "IC301").consequences
    assert lines
    assert all(line.startswith(("error IC", "warning IC", "info IC")) for line in lines)
    assert torch.isfinite(torch.tensor(found.losses)).all()
