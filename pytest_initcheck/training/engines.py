"""The ways to train the models of several seeds, which differ in nothing but their speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import nn

from pytest_initcheck.backends import parsed
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training import batched as batched_loop
from pytest_initcheck.training import graphs, loop, processes, threads
from pytest_initcheck.training.forks import Unsuited
from pytest_initcheck.training.history import History
from pytest_initcheck.training.prepare import Prepared
from pytest_initcheck.training.trial import fastest, first_of

Engine = Literal["plain", "batched", "threads", "processes", "graphs", "auto"]
_Train = Callable[[Prepared, Sequence[nn.Module], Sequence[int], loop.Tick], list[History]]
_ENGINES: dict[str, _Train] = {
    "plain": loop.train,
    "batched": batched_loop.train,
    "threads": threads.train,
    "processes": processes.train,
    "graphs": graphs.train,
}


def chosen_engine(
    engine: Engine | None, batched: bool = False, backend: str | None = None
) -> Engine:
    """The engine that was asked for; "plain" where nothing was.

    Raises:
        InitcheckError: no engine has that name, or ``batched`` or ``backend`` asks for another one.
    """
    if parsed(backend) is not None and (batched or engine not in (None, "plain")):
        raise InitcheckError(
            f"backend={backend!r}: its workers train one seed after the other, plainly; leave out "
            "engine= and batched=, or backend="
        )
    if engine is None:
        return "batched" if batched else "plain"
    if engine not in get_args(Engine):
        names = ", ".join(map(repr, get_args(Engine)))
        raise InitcheckError(f"engine: pass one of {names}, not {engine!r}")
    if batched and engine != "batched":
        raise InitcheckError(f"batched=True contradicts engine={engine!r}; pass one of them")
    return engine


def train(
    engine: Engine,
    prepared: Prepared,
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    tick: loop.Tick,
) -> tuple[list[History], str]:
    """Train all models; also which engine did it and why, "" for the plain loop by wish."""
    if engine == "plain":
        return loop.train(prepared, models, seeds, tick), ""
    if engine != "auto":
        return _served(engine, prepared, models, seeds, tick)
    first, seconds = first_of(prepared, models, seeds, tick)
    name, why = fastest(prepared, models[1:], seeds[1:], seconds)
    others, told = _served(name, prepared, models[1:], seeds[1:], tick, may_change=True)
    return first + others, f"{told}; {why}" if told != name else f"{name} ({why})"


def _served(
    name: str,
    prepared: Prepared,
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    tick: loop.Tick,
    may_change: bool = False,
) -> tuple[list[History], str]:
    """Train with an engine, or plainly where it cannot, and say why."""
    counted = _Counted(tick)
    try:
        return _ENGINES[name](prepared, models, seeds, counted), name
    except InitcheckError as error:
        # Stacks and other processes leave the models as they were, so that all can begin anew.
        stacked = may_change and name == "batched"
        if not isinstance(error, Unsuited) and not stacked:
            raise
        counted.take_back()
        because = str(error).removeprefix(f"{name}: ")
        return loop.train(prepared, models, seeds, tick), f"plain ({name}: {because})"


class _Counted:
    """A tick that can take back what was counted in vain."""

    def __init__(self, tick: loop.Tick) -> None:
        self.tick, self.done = tick, 0

    def __call__(self, done: int) -> None:
        """Count what is done."""
        self.done += done
        self.tick(done)

    def take_back(self) -> None:
        """Count nothing of it."""
        self.tick(-self.done)
