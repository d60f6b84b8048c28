"""``assert_same_start``: a model starts alike however it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch

from pytest_initcheck.building import ways, world_size
from pytest_initcheck.building.compare_tensors import Unlike
from pytest_initcheck.building.materialise import Initialise
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.errors import InitcheckError, InitcheckFailure

How = Literal["meta", "twice", "device", "dtype", "compile", "state_dict", "world_size", "stages"]
_WAYS: dict[str, Callable[[ways.Building], Iterator[Unlike]]] = {
    "meta": ways.by_meta,
    "twice": ways.twice,
    "device": ways.on_device,
    "dtype": ways.in_dtype,
    "compile": ways.compiled,
    "state_dict": ways.by_state_dict,
    "world_size": world_size.by_world_size,
    "stages": world_size.by_stages,
}
_MOST = 12
_NO_INITIALISATION = (
    "{} of it is what the constructor alone does. Built at once the model is as it is meant; but "
    "it has no initialisation of its own, and to_empty() with reset_parameters() of its modules "
    "loses what the constructor drew or set. Where the model is materialised so, give it "
    "init_weights(), or pass init=, a function that does the same."
)


def assert_same_start(
    factory: Callable[[], Any],
    how: How = "twice",
    *,
    seed: int = 0,
    batch: Any = None,
    init: Initialise | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.bfloat16,
    backend: str = "aot_eager",
    ranks: int = 2,
) -> None:
    """Fail where a model starts in another way when it is built in another way.

    Every way builds the model anew from seeds of its own, for Python, numpy and torch; all random
    streams are put back. What one way draws from a distribution is compared with what the other
    draws as baselines compare fresh weights (mean, deviation, extremes, zeros, distance), so that
    sound models fail in one comparison of a million; what is not drawn has to be equal.

    Args:
        factory: builds and returns the model: a class, a function, a lambda.
        how: "twice": one seed gives bit-identical models, and two seeds give other values to
            whatever is drawn. "meta": built on the meta device, given memory by ``to_empty`` that
            was filled with NaN, and initialised by its own initialisation, it starts as one that is
            built at once; no NaN is left. "device": built on ``device`` it starts as one that is
            built on the CPU. "dtype": built with ``dtype`` as the default it starts as one in
            float32, buffers up to one rounding. "state_dict": what one saves and another loads
            strictly gives the same tensors, those that are not saved included, and the same outputs
            on ``batch``. "compile": ``torch.compile`` leaves tensors as they are and gives the same
            outputs on ``batch``, up to rounding. "world_size": built, and sharded, by a job of
            one process and by one of ``ranks``, the full tensors are the same, replicas are equal,
            shards are not, and nothing that the meta device left is unwritten. "stages": what each
            of ``ranks`` processes builds as its stage of a pipeline holds no draw of another's.
        seed: of the first model; the second has the next one where two are wanted.
        batch: what the model is called with, as ``model(*batch)`` or ``model(**batch)`` or
            ``model(batch)``; needed for "compile".
        init: initialises the model that it is given, for "meta". Default: its ``init_weights()``,
            else ``reset_parameters()`` of every module.
        device: for "device". Default: "cuda", or "mps", where there is one.
        dtype: for "dtype".
        backend: of ``torch.compile``. Default "aot_eager", which needs no compiler.
        ranks: processes of the job (gloo, on the CPU of this machine, forked), for "world_size"
            and "stages", in which ``torch.distributed`` is ready when the factory is called.
            Default 2.

    Raises:
        InitcheckFailure: it starts otherwise; the message names each tensor and what differs. By
            "meta" it says as well what the constructor alone did, of a model that has neither
            ``init_weights()`` nor ``init``: that cannot be done again on memory that came later.
        InitcheckError: wrong use, or the model cannot be built in this way.
    """
    if how not in _WAYS:
        raise InitcheckError(f"how is {how!r}; pass one of {', '.join(get_args(How))}")
    building = ways.Building(
        factory=factory,
        seed=seed,
        batch=batch,
        init=init,
        device=device,
        dtype=dtype,
        backend=backend,
        ranks=ranks,
    )
    with isolated():
        found = tuple(_WAYS[how](building))
    if found:
        raise StartsOtherwise(how, found)


class StartsOtherwise(InitcheckFailure):
    """A model that does not start alike, with what is unlike.

    ``tensors`` in the order of the model, those last whose values the constructor alone gives.
    """

    def __init__(self, how: str, tensors: tuple[Unlike, ...]) -> None:
        self.tensors = tuple(sorted(tensors, key=lambda unlike: unlike.is_constructors))
        super().__init__(_text(how, self.tensors))

    @property
    def is_constructors(self) -> bool:
        """Whether all of it is what the constructor alone does: no method is wrong, none exists."""
        return all(unlike.is_constructors for unlike in self.tensors)


def _text(how: str, tensors: tuple[Unlike, ...]) -> str:
    """The failure, a line for each tensor."""
    count = len(tensors)
    head = f"the model does not start alike ({how!r}): {count} difference{'s' * (count > 1)}"
    lost = sum(unlike.is_constructors for unlike in tensors)
    note = [_NO_INITIALISATION.format("all" if lost == count else lost)] if lost else []
    lines = [f"  {unlike}" for unlike in tensors[:_MOST]]
    more = [f"  and {count - _MOST} more"] if count > _MOST else []
    return "\n".join([head, *note, *lines, *more])
