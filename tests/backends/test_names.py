"""What a backend is called."""

import pytest

from pytest_initcheck import InitcheckError
from pytest_initcheck.backends import parsed


@pytest.mark.parametrize("here", [None, "local"])
def test_this_process_is_no_engine(here):
    assert parsed(here) is None


@pytest.mark.parametrize(
    ("text", "engine", "where"),
    [
        ("loky", "loky", ""),
        ("dask", "dask", ""),
        ("dask://head:8786", "dask", "tcp://head:8786"),
        ("tcp://head:8786", "dask", "tcp://head:8786"),
        ("tls://head:8786", "dask", "tls://head:8786"),
        ("ray", "ray", ""),
        ("ray://head:10001", "ray", "ray://head:10001"),
    ],
)
def test_an_engine_has_a_name_or_an_address(text, engine, where):
    found = parsed(text)
    assert (found.engine, found.where, found.text) == (engine, where, text)


@pytest.mark.parametrize("text", ["", "spark", "dask://", "loky://head:1", "http://head", 3])
def test_what_is_none_is_told_with_what_is(text):
    with pytest.raises(InitcheckError, match="pass 'loky', 'dask', 'dask://host:port'"):
        parsed(text)
