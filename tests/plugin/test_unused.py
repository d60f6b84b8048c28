"""A session that does not use the plugin pays nothing and sees nothing."""

from __future__ import annotations

HEAVY = ("torch", "numpy", "pandas", "matplotlib", "jinja2", "scipy")
LAZY = (
    "records",
    "session.collector",
    "plugin.fixture",
    "report",
    "baseline",
    "plugin.outcome",
    "ignores",
    "extensions",
    "testing",
)


def test_nothing_is_imported_printed_or_written(project):
    project.test(
        test_a=f"""
        import sys
        def test_plain():
            assert not set({HEAVY!r}) & set(sys.modules)
            lazy = ["pytest_initcheck." + name for name in {LAZY!r}]
            assert not set(lazy) & set(sys.modules)
            assert "pytest_initcheck.plugin" in sys.modules
        """
    )
    result = project.run_alone("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=1)
    start = next(i for i, line in enumerate(result.outlines) if line.startswith("collected"))
    assert "initcheck" not in "\n".join(result.outlines[start:] + result.errlines)
    written = {p.name for p in project.path.iterdir() if not p.name.startswith("runpytest")}
    assert written <= {"__pycache__", "test_a.py", "stdout", "stderr"}


def test_workers_import_nothing_heavy(project):
    project.test(
        test_a=f"""
        import sys
        def test_plain():
            assert not set({HEAVY!r}) & set(sys.modules)
        """
    )
    result = project.run_alone("-n2")
    result.assert_outcomes(passed=1)
    assert not (project.path / ".pytest_cache/v/initcheck").exists()
