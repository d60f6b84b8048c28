"""What someone chose, and did not measure: compared by equality, told on lines of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_initcheck.baseline.judge import ValueCheck, names, same

# What a loss that is a function calls.
_BODY = "loss calls"
# The keys of a record's meta that are choices; all others are told in notes.
CONFIGURED = (
    "optimizer", "lr", "loss", _BODY, "steps", "epochs", "batch size", "noise", "momentum",
)  # fmt: skip


def configured(actual: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[ValueCheck]:
    """One check for each setting that both records name, or that one of them lacks.

    A baseline without any of them is older than their comparison, or holds metrics alone.
    """
    if not any(key in expected for key in CONFIGURED):
        return
    for key in names(actual, expected):
        # A loss that is no function any more, or has become one, has another name as well.
        is_known = key != _BODY or (key in actual and key in expected)
        if key in CONFIGURED and is_known:
            yield same(f"configured {key}", actual.get(key), expected.get(key))
