"""What .ci/run does on one Python, for all that are supported, and what takes longer: nox -l."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.error_on_missing_interpreters = False
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# The oldest that pyproject.toml allows: no patch of them. Torch 2.6 has no wheels for Pythons above
# 3.13, and the oldest of what stands beside it none for those above 3.11.
OLDEST = ("torch==2.6", "torchvision==0.21", "pytest==7.4", "pluggy==1.2", "jinja2==3.1")
OLDEST_BESIDE = ("numpy==1.24", "pandas==2.0", "matplotlib==3.7", "scipy==1.10")
OLDEST_TOOLS = ("pytest-xdist==3.3", "tqdm==4.60", "hypothesis==6.90")
OLDEST_PYTHONS = ("3.10", "3.12")
# Stubs are written for the Pythons of their package: newer ones mislead a check for the oldest.
TYPES_PYTHONS = ("3.10", "3.13")
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def install(session: nox.Session, *constraints: str) -> None:
    """The package with what its tests need, within these constraints."""
    if not constraints:
        session.install("-e", ".[dev]")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("\n".join(constraints), encoding="utf-8")
        session.install("-e", ".[dev]", "-c", str(file))


@nox.session
def lint(session: nox.Session) -> None:
    """Style."""
    session.install("ruff>=0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=TYPES_PYTHONS)
def types(session: nox.Session) -> None:
    """Types, strictly."""
    install(session)
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suites against their baselines, and all tests, with the newest of everything."""
    install(session)
    session.run("pytest", *(session.posargs or ["-n2"]), env=ENVIRONMENT)


@nox.session(python=OLDEST_PYTHONS)
def oldest(session: nox.Session) -> None:
    """The tests with the oldest of everything. Baselines are of the newest: no suites."""
    beside = OLDEST_BESIDE if session.python == OLDEST_PYTHONS[0] else ()
    install(session, *OLDEST, *OLDEST_TOOLS, *beside)
    session.run("pytest", *(session.posargs or ["tests", "-n2"]), env=ENVIRONMENT)


@nox.session
def libraries(session: nox.Session) -> None:
    """Models of lightning, transformers and timm, which are no dependencies, and their pages."""
    install(session)
    session.install("lightning", "transformers", "timm")
    files = ("tests/inputs/test_libraries.py", "tests/repository/test_pages.py")
    session.run("pytest", *files, *session.posargs, env=ENVIRONMENT)


@nox.session
def clusters(session: nox.Session) -> None:
    """A Dask cluster of three processes, a Ray instance, and loky: workers that are killed too."""
    session.install("-e", ".[dev,loky,dask,ray]")
    tests = ("tests/backends", "tests/training/test_elsewhere.py")
    option = "tests/plugin/test_option_backend.py"
    session.run("pytest", *tests, option, *session.posargs, env=ENVIRONMENT)


@nox.session
def docs(session: nox.Session) -> None:
    """README, docs and CONTRIBUTING: their code and commands are run, their links followed."""
    install(session)
    pages = ("pages", "contributing", "layers", "habits")
    session.run("pytest", *(f"tests/repository/test_{name}.py" for name in pages), env=ENVIRONMENT)


@nox.session
def site(session: nox.Session) -> None:
    """The site of docs/, in build/site; what would be a dead link or a lost page is an error."""
    # The reference is read from the code, not imported: no torch.
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    session.install(*extras["docs"])
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Recall, a zoo, overhead and engines, small; ``nox -s benchmarks -- --seeds 3`` for more."""
    install(session)
    session.run("python", "benchmarks/recall.py", *(session.posargs or ["--seeds", "1"]))
    session.run("python", "benchmarks/zoo.py", "--every", "5")
    for measured in ("overhead", "seeds"):
        command = "python", f"benchmarks/{measured}.py", "--against", "benchmarks/ratios.json"
        session.run(*command)
    session.run("python", "benchmarks/watch.py")


@nox.session
def coverage(session: nox.Session) -> None:
    """Lines and branches that the tests reach, in all processes together."""
    install(session)
    # Not by a plugin of pytest: this package's own is imported before such a one can look.
    session.run(
        "coverage", "run", "-m", "pytest", "tests", "-n2", *session.posargs, env=ENVIRONMENT
    )
    session.run("coverage", "combine", "-q")
    session.run("coverage", "html", "-q", "-d", "build/coverage")
    session.run("coverage", "report")


@nox.session
def mutation(session: nox.Session) -> None:
    """Whether the tests notice small faults in the code: ``nox -s mutation -- checks``."""
    install(session)
    results = ("--results", "build/mutants.jsonl")
    Path("build").mkdir(exist_ok=True)
    session.run("python", "benchmarks/mutation.py", *results, *session.posargs, env=ENVIRONMENT)
