"""Who imports whom: as the table in docs/architecture.md says, held by import-linter."""

from __future__ import annotations

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from importlinter.api import use_cases

ROOT = Path(__file__).parents[2]
PACKAGE = "pytest_initcheck"
TABLE = re.compile(r"<!-- layers -->\n(.*?)<!-- end layers -->", re.DOTALL)
Layers = list[list[str]]


def layers() -> Layers:
    """The rooms of every row of the page's table, from top to bottom."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = TABLE.search(page)
    assert found, "docs/architecture.md has lost its table"
    rows = [line.split("|")[1] for line in found[1].splitlines()[2:]]
    return [re.findall(r"`(\w+)`", row) for row in rows]


def contract(rows: Layers) -> str:
    """The table as import-linter reads it; a room in no row breaks it, too."""
    lines = [f"    {' | '.join(rooms)}" for rooms in rows]
    head = [
        "[importlinter]",
        f"root_package = {PACKAGE}",
        "[importlinter:contract:layers]",
        "name = the layers of docs/architecture.md",
        "type = layers",
        f"containers = {PACKAGE}",
        "exhaustive = true",
        "layers =",
    ]
    return "\n".join([*head, *lines, ""])


def holds(folder: Path, rows: Layers) -> bool:
    file = folder / "layers.ini"
    file.write_text(contract(rows), encoding="utf-8")
    return bool(use_cases.lint_imports(config_filename=str(file), cache_dir=None, no_logo=True))


def cycle(package: str) -> list[str]:
    """Modules that import each other in a ring, however they do it; empty where none do."""
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_page_tells_who_may_import_whom(tmp_path, capsys):
    assert holds(tmp_path, layers()), capsys.readouterr().out


@pytest.mark.parametrize(("above", "below"), [("cli", "plugin"), ("capture", "evidence")])
def test_rows_that_change_places_break_it(tmp_path, capsys, above, below):
    rows = layers()
    one, other = (next(i for i, row in enumerate(rows) if room in row) for room in (above, below))
    assert one < other
    rows[one], rows[other] = rows[other], rows[one]
    assert not holds(tmp_path, rows)
    assert f"{PACKAGE}.{above} is not allowed to import" in capsys.readouterr().out


def test_a_room_in_no_row_breaks_it(tmp_path, capsys):
    rows = [[room for room in rooms if room != "landscape"] for rooms in layers()]
    assert not holds(tmp_path, rows)
    assert "landscape" in capsys.readouterr().out


def test_rooms_of_a_row_do_not_import_each_other(tmp_path, capsys):
    rows = layers()
    rows[-2:] = [[*rows[-2], *rows[-1]]]
    assert not holds(tmp_path, rows)
    assert "errors" in capsys.readouterr().out


def test_no_module_imports_itself_by_way_of_others():
    assert cycle(PACKAGE) == []


@pytest.mark.parametrize(
    "hidden",
    [
        "def late():\n    import ring.a\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ring.a import A\n",
    ],
    ids=["in a function", "for types"],
)
def test_a_hidden_ring_is_seen(tmp_path, monkeypatch, hidden):
    folder = tmp_path / "ring"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text("import ring.b\nclass A: ...\n")
    (folder / "b.py").write_text(hidden)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert set(cycle("ring")) == {"ring.a", "ring.b"}
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "ring"]:
            del sys.modules[name]


def test_the_table_names_every_room_once():
    named = [room for rooms in layers() for room in rooms]
    found = {
        path.stem
        for path in (ROOT / PACKAGE).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    assert sorted(named) == sorted(found)


def test_files_that_the_page_names_are_there():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {room for row in layers() for room in row}
    named = re.findall(r"`(\w+/\w+)(?:\.py)?`", page)
    mine = [name for name in named if name.partition("/")[0] in rooms]
    assert mine
    missing = [name for name in mine if not (ROOT / PACKAGE / f"{name}.py").exists()]
    assert not missing
