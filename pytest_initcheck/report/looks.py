"""The path of a decision over seeds, in words and as charts."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.records import Look

_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


def path_text(looks: Sequence[Look]) -> str:
    """ "4 of at most 16 seeds: within chance after the 1st look", the answers of the last look."""
    last = [look for look in looks if look.seeds == looks[-1].seeds]
    count = len({look.seeds for look in looks})
    answers = " and ".join(look.decision for look in last)
    place = _ORDINALS.get(count, f"{count}th")
    return f"{last[0].seeds} of at most {last[0].most} seeds: {answers} after the {place} look"
