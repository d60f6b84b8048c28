"""What the site has besides docs/: the pages of the root, the reference, and links that fit.

The pages read well on a forge as they are, so that their links are those of the repository. Here
a link to a page becomes one to that page of the site; one to any other file takes the file along.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "examples/README.md": "project/example.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
CARRIED = "files"
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)]*)?(\))")
Config = Any


def on_files(files: Files, config: Config) -> Files:
    """The pages of the root, the reference, and the files that pages point to."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=_read(source)))
    for page, text in reference().items():
        files.append(File.generated(config, page, content=text))
    for path in sorted(_pointed_at(files)):
        files.append(File.generated(config, f"{CARRIED}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links of the site in place of those of the repository."""
    uri = page.file.src_uri
    return _with_links(markdown, uri) if not uri.startswith("reference/") else markdown


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _with_links(markdown: str, page: str) -> str:
    source = SOURCES.get(page, f"docs/{page}")

    def replaced(match: re.Match[str]) -> str:
        target = _on_site(posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2])))
        here = posixpath.relpath(target, posixpath.dirname(page) or ".")
        return f"{match[1]}{here}{match[3] or ''}{match[4]}"

    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else LINK.sub(replaced, part) for i, part in enumerate(parts))


def _on_site(path: str) -> str:
    """Where the site has what the repository has at ``path``."""
    for one in (path, f"{path}/README.md"):
        if one in PAGES:
            return PAGES[one]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{CARRIED}/{path}"


def _pointed_at(files: Files) -> set[str]:
    """The files outside of docs/ that a page links to, and that are no pages."""
    found = set()
    for file in files.documentation_pages():
        source = SOURCES.get(file.src_uri, f"docs/{file.src_uri}")
        for match in LINK.finditer(FENCE.sub("", file.content_string)):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
            if _on_site(target).startswith(f"{CARRIED}/") and (ROOT / target).is_file():
                found.add(target)
    return found


def reference() -> dict[str, str]:
    """The pages of the reference: names of the package, the fixture, `pytest_initcheck.testing`."""
    return {
        "reference/python.md": _described(
            "In Python", "What `import pytest_initcheck` offers.", "pytest_initcheck"
        ),
        "reference/fixture.md": (
            "# The fixture\n\nWhat the argument `initcheck` of a test can do.\n\n"
            "::: pytest_initcheck.plugin.fixture.Initcheck\n"
            "    options:\n      inherited_members: true\n"
        ),
        "reference/testing.md": _described(
            "For those who write checks",
            "What `import pytest_initcheck.testing` offers.",
            "pytest_initcheck.testing",
        ),
    }


def _described(title: str, about: str, module: str) -> str:
    blocks = [f"::: {module}.{name}\n" for name in public_names(module)]
    return "\n".join([f"# {title}\n", f"{about}\n", *blocks])


def public_names(module: str) -> list[str]:
    """The names in ``__all__`` of a package, read and not imported: torch is not needed here."""
    tree = ast.parse(_read(f"{module.replace('.', '/')}/__init__.py"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return sorted(names, key=str.casefold)
