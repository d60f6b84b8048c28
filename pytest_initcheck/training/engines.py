"""The ways to train the models of several seeds, which differ in nothing but their speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from torch import nn

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training import batched as batched_loop
from pytest_initcheck.training import loop, threads
from pytest_initcheck.training.history import History
from pytest_initcheck.training.prepare import Prepared
from pytest_initcheck.training.trial import fastest

Engine = Literal["plain", "batched", "threads", "auto"]
_Train = Callable[[Prepared, Sequence[nn.Module], Sequence[int], loop.Tick], list[History]]
_ENGINES: dict[str, _Train] = {
    "plain": loop.train,
    "batched": batched_loop.train,
    "threads": threads.train,
}


def chosen_engine(engine: Engine | None, batched: bool = False) -> Engine:
    """The engine that was asked for; "plain" where nothing was.

    Raises:
        InitcheckError: no engine has that name, or ``batched`` asks for another one.
    """
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
        return _ENGINES[engine](prepared, models, seeds, tick), engine
    name, why = fastest(prepared, models, seeds)
    try:
        return _ENGINES[name](prepared, models, seeds, tick), f"{name} ({why})"
    except InitcheckError as error:
        if name != "batched":
            raise
        # A stack leaves its models as they were, so that the plain loop can still train them.
        return loop.train(prepared, models, seeds, tick), f"plain ({error})"
