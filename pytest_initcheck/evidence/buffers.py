"""Buffers by what they are for, and what is odd about their values at the start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

# Running statistics of a normalisation; a table of frequencies, sines or positions; a mask of one
# position for another.
Role = Literal["", "statistics", "table", "mask"]

_TABLES = re.compile(r"freq|timescale|rope|rotary|sinusoid|(^|_)(sin|cos)(_|$)|(^|_)pe(_|$)"
                     r"|pos(ition)?s?_?(emb|enc)")  # fmt: skip
_MASKS = re.compile(r"mask|causal|tril|triu|future")


@lru_cache(maxsize=1024)
def role_of(name: str, dimensions: int, *, is_square: bool) -> Role:
    """What a buffer of that name, without its module's, is for; "" where the name does not say.

    ``is_square`` is about the last two dimensions, all before them of size one. "bias" is what the
    mask is called in GPT-2 and its descendants.
    """
    short = name.lower()
    if short in ("running_mean", "running_var"):
        return "statistics"
    if is_square and (_MASKS.search(short) or (short == "bias" and dimensions > 1)):
        return "mask"
    return "table" if _TABLES.search(short) and not _MASKS.search(short) else ""


@dataclass(frozen=True, kw_only=True)
class OddBuffer:
    """A buffer whose values cannot be what it is for; ``why`` is a clause about it, and
    ``is_broken`` says that no number comes out of it that means anything."""

    name: str
    layer: str
    role: Role
    why: str
    is_broken: bool = False
