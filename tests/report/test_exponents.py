"""The panel of exponents."""

from pytest_initcheck.records import Entry, RunRecord
from pytest_initcheck.report.panels import Panels
from pytest_initcheck.report.panels.exponents import Exponents

METRICS = {
    "a.b: gain, step 0": (0.0, 0.1, 0.2),
    "a.b: change, step 3": (1.0, 1.0, 1.0),
    "(output): change, step 3": (0.5, 0.5, 0.5),
}


def test_a_row_for_each_layer_and_the_start_first():
    record = RunRecord(seeds=(0, 1, 2), metrics=METRICS)
    views = Panels.available().of(Entry(name="a", kind="scaling", record=record))
    (table,) = next(view for view in views if view.title == "How it scales").parts
    assert table.head == ("layer", "gain, step 0", "change, step 3")
    assert table.rows == (
        ("a.b", "+0.10 (-0.15 to +0.35)", "+1.00 (+1.00 to +1.00)"),
        ("(output)", "", "+0.50 (+0.50 to +0.50)"),
    )


def test_one_seed_has_no_interval_and_other_entries_no_table():
    record = RunRecord(seeds=(0,), metrics={"a: gain, step 0": (0.25,)})
    (table,) = Exponents().parts(Entry(name="a", kind="scaling", record=record))
    assert table.rows == [("a", "+0.25")]
    assert not list(Exponents().parts(Entry(name="a", kind="run", record=record)))
