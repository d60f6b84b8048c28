"""No field of a record is lost: it is stored, read, compared and shown, or says why it is not."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.baseline import stats
from support.fields import cases, example, kinds, problems, stored_example

import pytest_initcheck
from pytest_initcheck.baseline import Band, Stored, compare, freeze
from pytest_initcheck.baseline.format import render
from pytest_initcheck.records import (
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
    UnitStats,
)
from pytest_initcheck.serialization import No, uses

PACKAGE = Path(pytest_initcheck.__file__).parent


def test_all_kinds_of_records_are_walked():
    known = {Stored, Band, RunRecord, ModelRecord, LayerRecord, TensorStats, UnitStats, Histogram}
    assert set(kinds()) == known
    assert compare(example(), stored_example(), rtol=1e-9, atol=1e-12).status == "match"


@pytest.mark.parametrize(
    ("kind", "name"), cases(), ids=[f"{kind.__name__}.{name}" for kind, name in cases()]
)
def test_a_field_is_stored_read_compared_and_shown(kind, name):
    assert not problems(kind, name)


def test_a_reason_says_something():
    said = [x for kind in kinds() for use in uses(kind).values() for x in vars(use).values()]
    assert all(len(reason) > 10 for reason in said if isinstance(reason, No))


@pytest.mark.parametrize("kind", [LayerRecord, TensorStats, UnitStats, ModelRecord, RunRecord])
def test_a_field_that_declares_nothing_is_refused(kind):
    more = dataclasses.make_dataclass(
        "More", [("quantity", "float | None", None)], bases=(kind,), frozen=True, kw_only=True
    )
    with pytest.raises(TypeError, match=r"More\.quantity: declare it as Annotated"):
        uses(more)


def test_a_field_that_declares_nothing_is_not_written_either():
    more = dataclasses.make_dataclass(
        "More", [("rank", "float", 1.0)], bases=(LayerRecord,), frozen=True, kw_only=True
    )
    layer = more(name="fc", kind="Linear", weights={"weight": stats([1.0, 2.0])})
    with pytest.raises(TypeError, match=r"More\.rank"):
        render({"t": {"e": freeze(RunRecord(before=ModelRecord(layers=(layer,))))}})


SCRIPT = """
import sys
from support.fields import problems
from pytest_initcheck import records
from pytest_initcheck.report.terminal import HEADERS
kind = getattr(records, sys.argv[1])
print(problems(kind, "quantity"), "the quantity" in HEADERS)
"""


def with_line(folder: Path, kind: str, line: str) -> subprocess.CompletedProcess[str]:
    """The checks of this file, in a copy of the package with one more line in a record."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "pytest_initcheck", ignore=ignored)
    file = folder / "pytest_initcheck" / "records" / "measured.py"
    head, found, rest = file.read_text(encoding="utf-8").partition(f"class {kind}")
    doc, rest = rest.split('"""\n\n', 1)
    file.write_text(f'{head}{found}{doc}"""\n\n    {line}\n{rest}', encoding="utf-8")
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, kind],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("ModelRecord", "close"),
        ("LayerRecord", "close"),
        ("LayerRecord", "share"),
        ("LayerRecord", "ratio"),
        ("UnitStats", "share"),
        ("TensorStats", "equal"),
    ],
)
def test_one_line_is_enough_for_a_new_quantity(kind, rule, tmp_path, quick_python):
    use = f'Use(compared="{rule}", shown="the quantity")'
    ran = with_line(tmp_path, kind, f"quantity: Annotated[float | None, {use}] = None")
    is_column = kind in ("LayerRecord", "UnitStats")
    assert ran.stdout == f"[] {is_column}\n", ran.stderr


def test_a_line_without_a_declaration_fails(tmp_path, quick_python):
    ran = with_line(tmp_path, "LayerRecord", "quantity: float | None = None")
    assert ran.returncode
    assert "LayerRecord.quantity: declare it as" in ran.stderr


def test_a_declaration_that_does_not_hold_fails(tmp_path, quick_python):
    line = 'quantity: Annotated[float | None, Use(compared="equal")] = None'
    assert "shown='' is not so" in with_line(tmp_path, "LayerRecord", line).stdout


def test_a_quantity_that_an_old_baseline_lacks_is_a_note():
    layer = example().before.layers[0]
    old = dataclasses.replace(layer, update_ratio={})

    def run(first: LayerRecord) -> RunRecord:
        return RunRecord(after=ModelRecord(layers=(first,)))

    found = compare(run(layer), run(old))
    assert found.status == "match"
    assert found.notes == ("not in the baseline, and so not compared: update_ratio.weight",)
    assert compare(run(old), run(layer)).status == "changed"
