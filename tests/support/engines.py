"""Engines for the tests of backends: one that does tasks here in another order, and real ones."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import pickle
import random

import pytest

from pytest_initcheck.backends import mapping
from pytest_initcheck.backends.connection import Connection
from pytest_initcheck.backends.numerics import Numerics
from pytest_initcheck.backends.parcel import Sent
from pytest_initcheck.backends.serve import serve


def needs(*modules):
    """Skips what needs an extra that is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: an extra")


@pytest.fixture
def shuffled(monkeypatch):
    """Every backend does its tasks in this process, in a random order; counts those that it began.

    ``shuffled.lost`` are errors that the engine raises before it does anything, one a time.
    """
    engine = _Shuffled()
    monkeypatch.setattr(mapping, "needed", lambda address: None)
    monkeypatch.setattr(mapping, "packed", lambda shared: engine.packed(shared))
    monkeypatch.setattr(mapping, "connected", engine.connected)
    monkeypatch.setattr(mapping, "_running", engine.running)
    monkeypatch.setattr(mapping, "_begins_anew", lambda error: isinstance(error, ConnectionError))
    return engine


class _Shuffled:
    def __init__(self):
        self.began, self.lost, self.shared = [], [], None

    def packed(self, shared):
        data = pickle.dumps(id(shared))
        self.shared = shared
        return Sent(hashlib.sha256(data).hexdigest(), data)

    @contextlib.contextmanager
    def connected(self, address, sent, tasks):
        yield Connection(backend=None, parcel=sent, workers=3, ahead="all")

    @contextlib.contextmanager
    def running(self, connection, places):
        yield self._results(connection.parcel, list(places))

    def _results(self, parcel, places):
        random.Random(len(places)).shuffle(places)
        for done, place in enumerate(places):
            if self.lost and done == 1:
                raise self.lost.pop()
            self.began.append(place)
            with pytest.MonkeyPatch.context() as patch:
                # Functions of a test cannot be pickled by name alone.
                patch.setattr("pytest_initcheck.backends.serve.opened", lambda _: self.shared)
                yield serve(parcel, place, Numerics.here())
