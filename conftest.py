"""The plugin's own tests run other pytest sessions."""

from __future__ import annotations

pytest_plugins = ["pytester", "pytest_initcheck.testing"]
