"""Before a model's ranks wait for each other in a collective, all say that they are fine."""

from __future__ import annotations

from typing import Any

from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options
from pytest_initcheck.ranks.ranks import Ranks

_MEETING = ("c10d", "_c10d_functional", "_c10d_functional_autograd")


class Concerted(OperatorMode):
    """Lets a collective of the model begin only where no rank has failed before it.

    A rank that raises between two collectives would leave the others in the second until the time
    of its group is over; here they hear what it said instead. It costs one message for each
    collective. Ranks have to make the same collectives in the same order, as they do for any model
    of which each runs its part.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ranks = ranks

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        """What the operator gives.

        Raises:
            RankError: another rank failed.
        """
        if _waits(func) and not self._ranks.is_talking:
            self._ranks.check()
        return func(*args, **kwargs)


def _waits(func: Any) -> bool:
    """Whether an operator is one in which ranks meet, and does not only lay out or await values."""
    name = func.overloadpacket.__name__
    return func.namespace in _MEETING and not name.startswith(("wait", "_wrap", "check"))
