"""What other distributions add through entry points; loaded when a diagnosis or a page asks."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pytest_initcheck.errors import InitcheckError

CHECKS = "pytest_initcheck.checks"
PANELS = "pytest_initcheck.panels"
# What a check or a panel is given and may yield. A number rises when something that they are given
# goes or changes its meaning; what is added does not raise it.
CHECK_PROTOCOL = 1
PANEL_PROTOCOL = 1
PROTOCOLS = {CHECKS: CHECK_PROTOCOL, PANELS: PANEL_PROTOCOL}
ADVICE = "repair, upgrade or uninstall it"


@dataclass(frozen=True, kw_only=True)
class Extension:
    """One entry point: what it is called, and which distribution brought it."""

    point: metadata.EntryPoint
    distribution: str

    def __str__(self) -> str:
        return f"{self.point.name!r} of the distribution {self.distribution}"

    def fault(self, what: str) -> InitcheckError:
        """The error that names the entry point, its group and its distribution."""
        group = self.point.group
        return InitcheckError(f"{self} (entry points {group}): {what}; {ADVICE}")

    def objects(self, method: str) -> Iterator[Any]:
        """What it adds: one object or a list, or what a class or a function makes of these.

        Each has a method of this name and speaks no later ``protocol`` than this version.

        Raises:
            InitcheckError: it cannot be loaded, or is something else.
        """
        for one in self._made(method):
            if isinstance(one, type) or not callable(getattr(one, method, None)):
                raise self.fault(f"{type(one).__name__} has no method {method}")
            self._check_protocol(one)
            yield one

    def _made(self, method: str) -> list[Any]:
        try:
            target = self.point.load()
            # A class, or a function that makes one anew each time: a check may keep state.
            is_maker = isinstance(target, type) or not hasattr(target, method)
            made = target() if callable(target) and is_maker else target
        except (Exception, SystemExit) as error:
            raise self.fault(f"cannot be loaded: {type(error).__name__}: {error}") from error
        return list(made) if isinstance(made, (list, tuple)) else [made]

    def _check_protocol(self, one: Any) -> None:
        known = PROTOCOLS[self.point.group]
        spoken = getattr(one, "protocol", 1)
        if type(spoken) is not int or spoken < 1:
            raise self.fault(f"protocol is {spoken!r}, which must be a whole number from 1 up")
        if spoken > known:
            raise self.fault(
                f"speaks protocol {spoken}, this version of pytest-initcheck up to {known}"
            )


def extensions(group: str) -> tuple[Extension, ...]:
    """The entry points of the group, by distribution and name; none of them is loaded yet."""
    return _found(group, tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _found(group: str, path: tuple[str, ...]) -> tuple[Extension, ...]:
    # The metadata of all that is installed is read once for a path, not for every diagnosis.
    found = [
        Extension(point=point, distribution=point.dist.name if point.dist else "unknown")
        for point in metadata.entry_points(group=group)
    ]
    return tuple(sorted(found, key=lambda one: (one.distribution, one.point.name)))
