"""Readers give what the codec gives, and leave to it what is odd."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from support.report import hostile, session

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.readers import Odd, reader
from pytest_initcheck.records import SessionRecord
from pytest_initcheck.serialization import Codec, No, decode, encode


@dataclass(frozen=True)
class Box:
    """All kinds of fields that records have."""

    name: str
    size: float = 0.0
    count: int = 1
    is_open: bool = False
    kind: Literal["a", "b"] = "a"
    values: tuple[float, ...] = ()
    whole: tuple[int, ...] = ()
    by_name: Annotated[dict[str, float], "declared"] = None  # type: ignore[assignment]
    inner: tuple[Box, ...] = ()
    lid: Box | None = None
    why: No | None = None
    other: Any = None


@pytest.mark.parametrize("build", [session, hostile])
def test_a_run_is_read_as_the_codec_reads_it(build):
    data = json.loads(json.dumps(encode(build())))
    read = reader(SessionRecord)(data)
    assert encode(read) == data
    assert repr(read) == repr(Codec().decode(SessionRecord, data, ("run",)))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"size": 3, "values": [1, 2.5, "nan"], "whole": [1, 2], "kind": "b"},
        {"values": [1.0, 1e308, 1e308]},
        {"by_name": {"x": "inf"}, "other": {"any": [1]}, "why": "because"},
        {"inner": [{"name": "c", "lid": {"name": "d"}}], "lid": None},
    ],
)
def test_sound_data(more):
    data = {"name": "box", **more}
    assert repr(reader(Box)(data)) == repr(Codec().decode(Box, data, ("Box",)))
    assert type(reader(Box)({"name": "x", "size": 3}).size) is float
    assert type(reader(Box)({"name": "x", "why": "y"}).why) is No


@pytest.mark.parametrize(
    "odd",
    [
        [],
        {},
        {"name": 1},
        {"name": "a", "more": 1},
        {"name": "a", "size": "large"},
        {"name": "a", "size": True},
        {"name": "a", "size": 1e999},
        {"name": "a", "count": 1.0},
        {"name": "a", "is_open": 1},
        {"name": "a", "kind": "c"},
        {"name": "a", "values": {}},
        {"name": "a", "values": [1.0, True]},
        {"name": "a", "values": [1e999, 1.0]},
        {"name": "a", "whole": [1, 2.0]},
        {"name": "a", "by_name": []},
        {"name": "a", "inner": [{"name": 1}]},
    ],
)
def test_odd_data_is_left_to_the_codec_which_says_where_it_is(odd):
    with pytest.raises(Odd):
        reader(Box)(odd)
    with pytest.raises(InitcheckError, match="Box"):
        decode(Box, odd)


def test_types_that_records_do_not_have():
    with pytest.raises(Odd):
        reader(complex)
