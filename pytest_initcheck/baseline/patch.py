"""Data written as what is not as in other data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Data = dict[str, Any]


def less(own: Mapping[str, Any], like: Mapping[str, Any]) -> Data:
    """The members of ``own`` that are not as in ``like``; null for those that only that has."""
    part: Data = {}
    for key in dict.fromkeys([*own, *like]):
        mine, theirs = own.get(key), like.get(key)
        if not equal(mine, theirs):
            if isinstance(mine, dict) and isinstance(theirs, dict):
                mine = less(mine, theirs)
            part[key] = mine
    return part


def more(part: Mapping[str, Any], like: Mapping[str, Any]) -> Data:
    """The data of which ``less`` made the part."""
    own: Data = {}
    for key in dict.fromkeys([*like, *part]):
        mine, theirs = part.get(key), like.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            own[key] = more(mine, theirs)
        elif (value := mine if key in part else theirs) is not None:
            own[key] = value
    return own


def equal(a: Any, b: Any) -> bool:
    """Whether two values would be written alike: 1, 1.0 and true are three."""
    return a is b or (a == b and _text(a) == _text(b))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
