"""What pytest collected, and whether that is all there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_initcheck.plugin.markers import test_id


class Collection:
    """Listens to the collection of one session, of its workers where it has some."""

    def __init__(self) -> None:
        self._items: Sequence[pytest.Item] = ()
        self._ids: set[str] = set()
        self._is_whole = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected."""
        if report.failed:
            self._is_whole = False

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note that a part is left out: by -k, by --lf, by a plugin that splits the tests."""
        if items:
            self._is_whole = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the tests."""
        self._items = session.items

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Keep the tests that a worker collected."""
        self._ids |= set(ids)

    def every_test(self, config: pytest.Config) -> frozenset[str]:
        """The ids of all tests of the project; none where this was a part of them."""
        selects = config.getoption("keyword", "") or config.getoption("markexpr", "")
        by_hand = config.args_source is config.ArgsSource.ARGS
        if not self._is_whole or selects or by_hand:
            return frozenset()
        return frozenset(self._ids.union(map(test_id, self._items)))
