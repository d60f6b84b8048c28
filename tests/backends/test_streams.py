"""Random numbers of the engines' own threads."""

import random
import sys
import types

from pytest_initcheck.backends.streams import keep_apart


def test_an_engine_draws_from_a_source_of_its_own(monkeypatch):
    engine, other = types.ModuleType("distributed.own"), types.ModuleType("users_own")
    for module in (engine, other):
        module.random = random
        monkeypatch.setitem(sys.modules, module.__name__, module)
    keep_apart()
    state = random.getstate()
    assert 0 <= engine.random.random() < 1
    assert random.getstate() == state
    assert other.random is random
