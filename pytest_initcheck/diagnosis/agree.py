"""What several ranks found, as the first of them has it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pytest_initcheck.ranks.ranks import Ranks
from pytest_initcheck.records import Finding, RunRecord
from pytest_initcheck.serialization import decode, encode


@dataclass(frozen=True)
class Conclusions:
    """What a diagnosis says, as plain data."""

    record: RunRecord
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...]


def told_by_first(mine: Conclusions, ranks: Ranks) -> Conclusions | None:
    """What the first rank found, None where this one found the same; all have to call this.

    Raises:
        RankError: another rank failed.
    """
    text = json.dumps(encode(mine), allow_nan=False).encode()
    first, *_ = ranks.exchange(text)
    return None if first == text else decode(Conclusions, json.loads(first))
