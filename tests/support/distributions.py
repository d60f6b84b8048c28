"""Distributions that lie in a folder as an installer leaves them: modules and entry points."""

from __future__ import annotations

import sys
import textwrap


class Distributions:
    """Puts distributions on the path of this process; their modules are forgotten after it."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch

    def add(self, name, *, checks="", panels="", code=""):
        """One with a module of its name that holds ``code``, and these entry points (lines)."""
        place = self.folder / name
        info = place / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        groups = {"checks": checks, "panels": panels}
        lines = [f"[pytest_initcheck.{group}]\n{text}\n" for group, text in groups.items() if text]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (place / f"{name}.py").write_text(textwrap.dedent(code))
        self.monkeypatch.syspath_prepend(place)
        self.monkeypatch.delitem(sys.modules, name, raising=False)
        return place
