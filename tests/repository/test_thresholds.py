"""The table of thresholds in docs/checks.md names every number that the package judges by."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import thresholds, thresholds_found
from pytest_initcheck.checks import initial_loss, input_scale, step_size, writer_scales
from pytest_initcheck.evidence import loss_trajectory, signals

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
UPDATE = "python benchmarks/thresholds.py --page docs/checks.md, and say what is new there"


@pytest.fixture(scope="module")
def rows():
    return thresholds.written(PAGE.read_text(encoding="utf-8"))


def test_the_table_lists_every_threshold_with_its_value(rows):
    shown = {key: value for key, (value, *_) in rows.items()}
    assert shown == {one.key: one.shown for one in thresholds.thresholds()}, UPDATE


def test_every_row_says_what_it_decides_and_from_what(rows):
    lacking = [key for key, row in rows.items() if not all(row) or "?" in row]
    assert not lacking, (
        f"docs/checks.md, table of thresholds: say in the place of each ? what {lacking} decide "
        "('IC308: …'), and from what ('derived: …', 'judgement: …')"
    )


def test_what_is_written_already_stays_when_the_page_is_brought_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert thresholds.filled(page) == page, UPDATE


def test_a_number_without_a_row_gets_one_with_its_comment():
    page = "<!-- thresholds -->\n<!-- end thresholds -->\n"
    row = thresholds.written(thresholds.filled(page))["checks.dead_units._MOST"]
    comment = "From so many dead units on the layer is as good as gone."
    assert row == ("0.9", "?", comment, thresholds.UNKNOWN)


def test_what_was_measured_of_a_number_stands_in_its_row_and_stays_there():
    page = "<!-- thresholds -->\n<!-- end thresholds -->\n"
    measured = thresholds.filled(page, {"checks.dead_units._MOST": "1 / 0"})
    for text in (measured, thresholds.filled(measured)):
        rows = thresholds.written(text)
        assert rows["checks.dead_units._MOST"][3] == "1 / 0"
        assert rows["checks.dead_units._Z"][3] == thresholds.UNKNOWN


def test_numbers_of_a_function_are_listed_under_its_name():
    code = "class A:\n    def f(self, x):\n        return 1.5 < x * 3 and x.dim() > 4 != x - 0.5\n"
    assert thresholds_found.in_functions(code) == {"A.f": (1.5, 3)}


def test_a_threshold_changes_wherever_it_was_imported_and_is_put_back():
    (blown,) = [t for t in thresholds.judging() if t.key == "evidence.loss_trajectory.BLOWN"]
    modules = (loss_trajectory, signals, step_size)
    before = [module.BLOWN for module in modules]
    with thresholds.changed(blown, 2.0):
        assert [module.BLOWN for module in modules] == [2 * value for value in before]
    assert [module.BLOWN for module in modules] == before


def test_a_threshold_changes_where_it_is_a_default():
    (errors,) = [t for t in thresholds.judging() if t.key == "checks.writer_scales.ERRORS"]
    scale = writer_scales.Scale(
        parameter="0.weight",
        layer="0",
        role="weight",
        sigma=math.exp(0.6),
        error=0.1,
        fan_in=4,
        fan_out=4,
    )
    assert not scale.is_near(1.0)
    with thresholds.changed(errors, 2.0):
        assert scale.is_near(1.0)
    assert not scale.is_near(1.0)


def test_a_threshold_of_the_same_name_elsewhere_stays():
    (limit,) = [t for t in thresholds.judging() if t.key == "checks.input_scale._ERROR"]
    modules = (input_scale, initial_loss)
    mine, other = (module._ERROR for module in modules)
    with thresholds.changed(limit, 0.5):
        assert [module._ERROR for module in modules] == [mine / 2, other]
