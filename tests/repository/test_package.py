"""The package as it is shipped and layered: the wheel's content, and who imports whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pytest_initcheck"
MODULES = sorted(PACKAGE.rglob("*.py"))
ADAPTERS = ("plugin", "cli", "testing")
HEAVY = {"torch", "torchvision", "numpy", "pandas", "matplotlib", "scipy", "jinja2"}
# What pytest imports when the plugin is installed and no test uses it.
ALWAYS = {
    "pytest_initcheck",
    "pytest_initcheck.plugin",
    *(f"pytest_initcheck.plugin.{name}" for name in ("adapter", "collection", "controller")),
    *(
        f"pytest_initcheck.plugin.{name}"
        for name in ("ci_options", "hooks", "markers", "options", "paths", "update_options")
    ),
    *(
        f"pytest_initcheck.plugin.{name}"
        for name in ("backend", "faults", "models", "repro", "selecting")
    ),
    "pytest_initcheck.ranks",
    "pytest_initcheck.ranks.writer",
    "pytest_initcheck.session",
    "pytest_initcheck.session.settings",
}
TEXTS = (".py", ".md", ".toml", ".json", ".css", ".js", ".j2", "")
PARCEL = PACKAGE / "backends" / "parcel.py"
WITHOUT_TORCH = ("records", "errors", "session", "baseline", "report", "statistics")


def dotted(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def part(path: Path) -> str:
    """The module or subpackage below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """What a file imports when it is loaded: not inside functions, not for types alone."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        pending += ast.iter_child_nodes(node)
    return found


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert all(name.startswith("pytest_initcheck/") for name in names)
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(names) == expected
    assert "pytest_initcheck/py.typed" in names
    assert "pytest_initcheck/report/page.html.j2" in names
    assert sum("idx" in name and name.endswith(".gz") for name in names) == 4


def test_wheel_is_small(wheel):
    assert sum(info.compress_size for info in wheel.infolist()) < 2_500_000


def test_wheel_says_what_it_needs(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    meta = message_from_string(wheel.read(name).decode())
    needs = [text for text in meta.get_all("Requires-Dist") if "extra ==" not in text]
    assert {re.split(r"[<>=~!]", text)[0] for text in needs} == {
        "pytest", "pluggy", "torch", "torchvision", "numpy", "pandas", "matplotlib", "jinja2",
        "scipy",
    }  # fmt: skip
    assert all(re.fullmatch(r"[a-z0-9]+>=[\d.]+", text) for text in needs), "ranges, no pins"
    assert "Framework :: Pytest" in meta.get_all("Classifier")
    assert meta["License-Expression"] == "MIT"


def test_wheel_has_its_entry_points(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    lines = wheel.read(name).decode().splitlines()
    assert "initcheck = pytest_initcheck.plugin" in lines
    assert "initcheck = pytest_initcheck.cli:main" in lines


def test_only_the_adapters_import_pytest():
    guilty = [p for p in MODULES if part(p) not in ADAPTERS and "pytest" in tops(p)]
    assert not guilty


def test_an_unused_plugin_imports_nothing_heavy():
    for path in MODULES:
        if dotted(path) in ALWAYS:
            assert not tops(path) & HEAVY, path
            mine = imports(path) & {dotted(module) for module in MODULES}
            assert mine <= ALWAYS, f"{path} brings in more"


def test_records_baselines_and_report_need_no_torch():
    for path in MODULES:
        if part(path) in WITHOUT_TORCH:
            assert not tops(path) & {"torch", "torchvision", "pandas"}, path


def test_nothing_is_pickled():
    """But tasks for the engines of others, which send pickles themselves; nothing is stored."""
    assert part(PARCEL) == "backends"
    for path in MODULES:
        if path == PARCEL:
            continue
        assert not tops(path) & {"pickle", "shelve", "marshal", "dill", "cloudpickle"}, path


def test_every_module_says_what_it_is_for():
    folders = ("pytest_initcheck", "tests", "suites", "benchmarks", "examples", "docs")
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            assert (text or "").split("\n")[0].strip(), path


def test_nothing_names_a_machine_or_a_registry():
    # Put together here, so that this file does not name them either.
    words = [
        "/" + "work/",
        "/" + "root/",
        "/" + "home/",
        "/" + "opt/",
        "py" + "pi.org",
        "file" + "://",
    ]
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        files = [p for p in ROOT.rglob("*.py") if ".venv" not in p.parts]
    else:
        files = [ROOT / name for name in done.stdout.splitlines()]
    for path in files:
        if (
            path.suffix in (".py", ".md", ".toml", ".json", ".css", ".js", ".j2", "")
            and path.is_file()
        ):
            text = path.read_text(encoding="utf-8")
            found = [word for word in words if word in text]
            assert not found, f"{path}: {found}"
