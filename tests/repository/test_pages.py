"""README and docs: their files are written, their Python is run, their commands do what is shown.

A Python block that starts with ``# name.py`` is a file of the page's project (shown again, the file
is changed); any other is run in it, in the order of the page. Of a console block every ``$ ``
command runs, and every line shown below it must occur in what it prints, ``…`` standing for
anything. Commands that install or clone are not run. A block below ``<!-- needs: library -->`` is
run where that library is installed, in a test of its own.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pytest_initcheck import cli
from pytest_initcheck.checks import rules

ROOT = Path(__file__).parents[2]
UNRUN = ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
DOCS = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
PAGES = ["README.md", *(page for page in DOCS if not page.startswith("docs/decisions/"))]
BLOCK = re.compile(
    r"^(?:<!-- needs: (\w+) -->\n\n?)?```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
NOT_RUN = ("git", "make", "pip", "cd")


def found_blocks(page: str) -> list[tuple[str, str, str]]:
    """The library that each block needs, its kind, its text."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def blocks(page: str, library: str) -> list[tuple[str, str]]:
    """Kind and text of what needs no library, or this one."""
    return [(kind, block) for needs, kind, block in found_blocks(page) if needs in ("", library)]


# Every page as it is, and again with each library that some of its blocks need.
RUNS = [
    (page, library)
    for page in PAGES
    for library in ("", *dict.fromkeys(needs for needs, *_ in found_blocks(page) if needs))
]


def named(block: str) -> str | None:
    found = re.match(r"# (\w+\.py)\n", block)
    return found[1] if found else None


def shown(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def is_in(line: str, output: str) -> bool:
    parts = [re.escape(part.strip()) for part in line.split("…")]
    return re.search(".*".join(parts), output) is not None


@pytest.fixture
def page_project(pytester, warm, quick_python, monkeypatch, request):
    """A folder with the page's files, each as it is shown first; forgets what its code imports."""
    page, library = request.param
    if library:
        pytest.importorskip(library, reason=f"{library} is not installed (nox -s libraries)")
    before = set(sys.modules)
    files = [block for kind, block in blocks(page, library) if kind == "python" and named(block)]
    for block in reversed(files):
        (pytester.path / str(named(block))).write_text(block, encoding="utf-8")
    # Folders that a page's commands name: pytest would take those of this repository's ini file.
    (pytester.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    monkeypatch.syspath_prepend(pytester.path)
    yield request.param
    forget({str(named(block)) for block in files}, set(sys.modules) - before)


def forget(files: set[str], modules: Iterable[str]) -> None:
    for name in [name for name in modules if name.partition(".")[0] + ".py" in files]:
        del sys.modules[name]


def run(pytester, capsys, command: str) -> str:
    program, *arguments = shlex.split(command, comments=True)
    if program == "pytest":
        result = pytester.runpytest_inprocess("-p", "no:hypothesispytest", *arguments)
        capsys.readouterr()
        return result.stdout.str()
    assert program == "initcheck", f"{command}: only pytest and initcheck are run"
    assert cli.main(arguments) in (0, 1, 2)
    printed = capsys.readouterr()
    return printed.out + printed.err


@pytest.mark.parametrize(
    "page_project", RUNS, indirect=True, ids=lambda run: "-".join(run).strip("-")
)
def test_code_and_commands_of_a_page(page_project, pytester, capsys):
    space: dict[str, object] = {"__name__": "page"}
    for kind, block in blocks(*page_project):
        file = named(block)
        if kind == "console":
            commands_do_what_is_shown(pytester, capsys, block)
        elif file is None:
            exec(compile(block, page_project[0], "exec"), space)
        elif (pytester.path / file).read_text(encoding="utf-8") != block:
            (pytester.path / file).write_text(block, encoding="utf-8")
            forget({file}, sys.modules)


def commands_do_what_is_shown(pytester, capsys, block: str) -> None:
    for command, lines in shown(block):
        if command.split()[0] in NOT_RUN:
            continue
        output = run(pytester, capsys, command)
        for line in lines:
            assert is_in(line, output), f"{command}: {line!r} is not in\n{output}"


def test_links_lead_somewhere():
    decisions = [p.relative_to(ROOT).as_posix() for p in (ROOT / "docs/decisions").glob("*.md")]
    for page in [*PAGES, *UNRUN, *decisions]:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)", re.sub(r"(?s)```.*?```", "", text)):
            if not target.startswith("http"):
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_every_rule_is_explained_as_it_is():
    page = ROOT / "docs" / "checks.md"
    text = page.read_text(encoding="utf-8")
    known = {rule.id: rule for rule in rules()}
    found = dict(re.findall(r"<!-- (IC\d+) -->\n(.*?)<!-- end -->", text, re.DOTALL))
    lacking = sorted(set(known) - set(found))
    assert not lacking, f"docs/checks.md has no block for {lacking}: python docs/rules.py says how"
    assert not set(found) - set(known), "docs/checks.md: blocks of rules that are gone"
    for id, rule in known.items():
        for fact in (rule.title, rule.cause, rule.limit, rule.reference):
            assert fact in found[id], f"{id} has changed: run python docs/rules.py"


def test_the_readme_names_every_rule_and_option():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lacking = [rule.id for rule in rules() if rule.id not in text]
    assert not lacking, f"README.md: the table of what is checked lacks {lacking}"
    plugin = ROOT / "pytest_initcheck" / "plugin"
    options = "".join(path.read_text(encoding="utf-8") for path in plugin.glob("*options.py"))
    for name in re.findall(r'"(--initcheck-[a-z]+|initcheck_[a-z]+)"', options):
        assert f"`{name}" in text, name
