"""Reading and writing IDX files, whole and broken."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from pytest_initcheck.data import read_idx, write_idx
from pytest_initcheck.errors import DataError

TYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")
arrays = st.sampled_from(TYPES).flatmap(
    lambda kind: stnp.arrays(kind, stnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
suffixes = st.sampled_from(["", ".gz"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


def assert_array_or_error(path):
    """Reading gives an array, or the one error, which names the file."""
    try:
        values = read_idx(path)
    except DataError as error:
        message = str(error)
    else:
        assert isinstance(values, np.ndarray)
        return
    assert str(path) in message


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(deadline=None)
@given(values=arrays, suffix=suffixes)
def test_round_trip(folder, values, suffix):
    path = folder / f"values{suffix}"
    write_idx(path, values)
    assert same(read_idx(path), values)


def test_header_follows_the_format(tmp_path):
    path = tmp_path / "values"
    write_idx(path, np.array([[1, -2, 3]], "int16"))
    assert path.read_bytes() == bytes.fromhex("00000b02 00000001 00000003 0001 fffe 0003")


def test_big_endian_arrays_are_written_as_they_are(tmp_path):
    write_idx(tmp_path / "values", np.array([1, 256], ">i4"))
    assert read_idx(tmp_path / "values").tolist() == [1, 256]


def test_the_content_decides_whether_it_is_compressed(tmp_path):
    write_idx(tmp_path / "values.gz", np.arange(3, dtype="uint8"))
    (tmp_path / "values.gz").rename(tmp_path / "values")
    assert read_idx(tmp_path / "values").tolist() == [0, 1, 2]


def test_compressed_files_do_not_change_from_write_to_write(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(3, dtype="uint8"))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@settings(deadline=None)
@given(values=arrays, suffix=suffixes, data=st.data())
def test_any_truncation_is_an_error_that_names_the_file(folder, values, suffix, data):
    path = folder / f"values{suffix}"
    write_idx(path, values)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DataError, match="values"):
        read_idx(path)


@settings(deadline=None)
@given(values=arrays, more=st.binary(min_size=1, max_size=20))
def test_trailing_bytes_are_an_error(folder, values, more):
    path = folder / "values"
    write_idx(path, values)
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(DataError, match="too long"):
        read_idx(path)


@settings(max_examples=200, deadline=None)
@given(values=arrays, suffix=suffixes, data=st.data())
def test_any_flipped_bit_gives_an_error_or_an_array(folder, values, suffix, data):
    path = folder / f"values{suffix}"
    write_idx(path, values)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert_array_or_error(path)


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=64),
    ndim=st.integers(0, 255),
    size=st.sampled_from([0, 1, 2**32 - 1]),
)
def test_any_header_gives_an_error_or_an_array(folder, content, ndim, size):
    path = folder / "values"
    path.write_bytes(bytes([0, 0, 8, ndim]) + struct.pack(">I", size) * ndim + content)
    assert_array_or_error(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"\0\0\x08", "truncated"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (b"\0\0\x0a\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "sizes of its 3 dimensions"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "announces 5 values of 1 bytes, which is 5 bytes, and 3"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\0", mtime=0)[:-3], "gzip stream is corrupt"),
    ],
)
def test_message_says_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DataError, match="cannot be read") as caught:
            read_idx(path)
        assert str(path) in str(caught.value)


def test_what_idx_cannot_hold(tmp_path):
    with pytest.raises(DataError, match="cannot hold int64"):
        write_idx(tmp_path / "values", np.zeros(3, "int64"))
