"""Models whose right verdict is known, each with the cause that a diagnosis must name."""

from __future__ import annotations

from . import architectures, bugs, faults, healthy, symmetry, variants
from .case import Case, Start

__all__ = ["Case", "Start", "all_cases"]


def all_cases() -> list[Case]:
    """Every case of the corpus, by topic."""
    modules = (symmetry, faults, bugs, variants, healthy, architectures)
    return [case for module in modules for case in module.CASES]
