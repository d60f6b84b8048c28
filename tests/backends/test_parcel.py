"""What all tasks share on its way: whole functions of the user's modules, opened once."""

import sys
import threading
import types

import pytest
from support.engines import needs

from pytest_initcheck import InitcheckError
from pytest_initcheck.backends import parcel
from pytest_initcheck.backends.parcel import Filed, opened, packed

pytestmark = needs("cloudpickle")
SOURCE = """
SCALE = 3
LOCK = None
def scaled(x):
    return SCALE * x
def locked(x):
    return LOCK, x
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's, which is forgotten before the parcel is opened."""
    made = types.ModuleType("users_own")
    made.__file__ = str(tmp_path / "users_own.py")
    exec(compile(SOURCE, made.__file__, "exec"), made.__dict__)
    monkeypatch.setitem(sys.modules, "users_own", made)
    return made


@pytest.fixture(autouse=True)
def nothing_is_open():
    parcel._OPENED.clear()
    yield
    parcel._OPENED.clear()


def test_a_function_goes_without_its_file_and_keeps_its_name(module, monkeypatch):
    sent = packed(module.scaled)
    monkeypatch.delitem(sys.modules, "users_own")
    function = opened(sent)
    assert function(2) == 6
    assert function.__code__.co_filename == module.__file__


def test_the_modules_are_pickled_by_name_again_afterwards(module):
    import cloudpickle

    before = set(cloudpickle.list_registry_pickle_by_value())
    packed(module.scaled)
    assert set(cloudpickle.list_registry_pickle_by_value()) == before


def test_a_module_that_stands_in_two_places_goes_once(module, monkeypatch):
    import cloudpickle

    before = set(cloudpickle.list_registry_pickle_by_value())
    monkeypatch.setitem(sys.modules, "a_name_for_users_own", module)
    other = types.ModuleType("another_of_the_users")
    other.__file__ = module.__file__
    monkeypatch.setitem(sys.modules, other.__name__, other)
    packed(module.scaled)
    assert set(cloudpickle.list_registry_pickle_by_value()) == before


def test_what_cannot_go_as_a_whole_goes_by_name(module):
    module.LOCK = threading.Lock()
    assert opened(packed(module.locked)) is module.locked


def test_what_cannot_go_at_all_is_told():
    lock = threading.Lock()
    with pytest.raises(InitcheckError, match=r"cannot be sent to another process: .*lock"):
        packed(lambda: lock)


def test_a_parcel_is_opened_once_and_the_last_ones_are_kept(tmp_path):
    first = packed([1])
    path = tmp_path / "parcel"
    path.write_bytes(first.data)
    filed = Filed(first.digest, path)
    assert opened(filed) == [1]
    assert opened(filed) is opened(first)
    for other in ([2], [3]):
        opened(packed(other))
    assert len(parcel._OPENED) == 2
    assert first.digest not in parcel._OPENED


def test_only_the_users_modules_go_as_a_whole(module):
    import numpy

    assert parcel._is_users(module)
    for other in (numpy, threading, parcel, "a text"):
        assert not parcel._is_users(other)
