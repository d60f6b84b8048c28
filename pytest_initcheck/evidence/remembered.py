"""What many checks ask of the same evidence, answered once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from pytest_initcheck.evidence.evidence import Observed

Answer = TypeVar("Answer")


def remembered(question: Callable[[Observed], Answer]) -> Callable[[Observed], Answer]:
    """The question, whose answer stays with the evidence: that never changes after it was made."""
    name = f"_{question.__module__}.{question.__qualname__}"

    @functools.wraps(question)
    def asked(evidence: Observed) -> Answer:
        known = evidence.__dict__
        if name not in known:
            known[name] = question(evidence)
        found: Answer = known[name]
        return found

    return asked
