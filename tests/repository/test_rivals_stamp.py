"""The number by which an answer of a rival is known to be of the same start."""

from __future__ import annotations

import pytest
from corpus import all_cases
from rivals_stamp import digest

SOURCE = """
SIZES = {"hidden": (4, 8)}
def helper(x):
    return [x + 1 for _ in range(3)]
class Net:
    def forward(self, x):
        return helper(x)
def row(scale):
    def start(seed):
        return Net().forward(scale), SIZES
    return start
start = row(2.0)
"""


def of(source):
    """The number of the start that a module of the corpus makes."""
    module = {"__name__": "corpus.sample"}
    exec(source, module)
    return digest(module["start"])


def test_a_start_keeps_its_number_when_others_come_beside_it():
    assert of(SOURCE) == of(f"\n\nOTHER = 5\n{SOURCE}\nother = row(3.0)\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 2"),
        ("range(3)", "range(4)"),
        ("(4, 8)", "(4, 9)"),
        ("row(2.0)", "row(2.5)"),
        ("Net().forward(scale)", "helper(scale)"),
        ("class Net:", "class Other:\n    pass\nclass Net(Other):"),
    ],
)
def test_what_a_start_uses_changes_its_number(old, new):
    assert of(SOURCE) != of(SOURCE.replace(old, new))


def test_cases_of_the_corpus_have_numbers_of_their_own():
    cases = all_cases()[::40]
    found = [digest(case.start) for case in cases]
    assert len(set(found)) == len(cases)
    assert found == [digest(case.start) for case in cases]
