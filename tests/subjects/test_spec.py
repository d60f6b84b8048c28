"""What is typed to name a model's inputs and arguments."""

from __future__ import annotations

import pytest

from pytest_initcheck.subjects.spec import InputSpec, arguments, input_spec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8,3,64,64", InputSpec((8, 3, 64, 64))),
        ("8", InputSpec((8,))),
        ("ids=8,32:long", InputSpec((8, 32), "ids", "int64")),
        ("8,32:bool", InputSpec((8, 32), "", "bool")),
        ("x=2,3", InputSpec((2, 3), "x")),
    ],
)
def test_an_input_is_a_shape_with_a_name_and_a_kind(text, expected):
    assert input_spec(text) == expected
    assert input_spec(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "a", "8,0", "8,-1", "8:text", "8:", "=8", "a b=8", "8,"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="pass"):
        input_spec(text)


def test_arguments_are_literals_or_texts_by_place_or_by_name():
    texts = ["vit_tiny", "3", "[1, 2]", "depth=2", "norm=None", "act=relu", "a.b=c", "rate=1e-3"]
    placed, named = arguments(texts)
    assert placed == ["vit_tiny", 3, [1, 2], "a.b=c"]
    assert named == {"depth": 2, "norm": None, "act": "relu", "rate": 1e-3}
