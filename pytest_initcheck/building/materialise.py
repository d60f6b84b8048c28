"""Meta, to_empty over poisoned memory, and the model's own initialisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.building.compare_tensors import tensors_of
from pytest_initcheck.errors import InitcheckError

Initialise = Callable[[nn.Module], object]
# The names that libraries give to the method that initialises a whole model.
_WHOLE = ("init_weights", "initialize_weights", "initialise_weights")
# Whose methods initialise a layer of torch, and know nothing of what a model did to it.
_LIBRARY = "torch."
LAZY = (
    "the model has lazy parameters, which have no shape before a first pass; let the factory give "
    "the sizes, or make that pass"
)
# An integer that no initialiser writes, and that fits every integer dtype but the smallest.
_POISON = 113


def on_meta(factory: Callable[[], nn.Module]) -> nn.Module:
    """The model without memory.

    Raises:
        InitcheckError: the factory cannot build it there.
    """
    try:
        with torch.device("meta"):
            return factory()
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise InitcheckError(
            f"the factory cannot build its model on the meta device ({error}): it reads values, "
            "or names a device of its own, while it builds; do that in the initialisation"
        ) from error


def poisoned(model: nn.Module) -> nn.Module:
    """The model in memory that holds what no initialiser writes: NaN, and 113 in integers.

    Raises:
        InitcheckError: it has lazy parameters, which have no shape yet, or has no `to_empty`.
    """
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise InitcheckError(LAZY)
    try:
        model.to_empty(device="cpu")
    except RuntimeError as error:
        raise InitcheckError(f"the model cannot be given memory ({error})") from error
    with torch.no_grad():
        for tensor, _ in tensors_of(model).values():
            _poison(tensor)
    return model


def is_poisoned(tensor: Tensor) -> Tensor:
    """Which elements still hold it."""
    if tensor.is_floating_point() or tensor.is_complex():
        return tensor.isnan()
    return torch.zeros_like(tensor) if tensor.dtype == torch.bool else tensor == _POISON


@dataclass(frozen=True, kw_only=True)
class Initialised:
    """What was ``called``, and the names of the tensors that it is there for: all of the model's
    where the model itself is initialised, else those of modules with a method of their own."""

    called: str
    meant: frozenset[str]


def initialise(model: nn.Module, init: Initialise | None) -> Initialised:
    """Run the model's own initialisation.

    ``init`` where it is given; else the model's ``init_weights`` (or ``initialize_weights``), else
    ``reset_parameters`` of every module that has one, those within before those around them.

    Raises:
        InitcheckError: there is none.
    """
    everything = frozenset(tensors_of(model))
    if init is not None:
        init(model)
        return Initialised(called=getattr(init, "__name__", "init"), meant=everything)
    for name in _WHOLE:
        method = getattr(model, name, None)
        if callable(method):
            method()
            return Initialised(called=f"{name}()", meant=everything)
    return Initialised(called=_reset(model), meant=frozenset(_with_own_reset(model)))


def _reset(model: nn.Module) -> str:
    own = [reset for module in model.modules() if (reset := _reset_of(module)) is not None]
    if not own and tensors_of(model):
        raise InitcheckError(
            "the model has no init_weights(), and no module of it a reset_parameters(); pass "
            "init=, a function that initialises the model it is given"
        )
    for reset in reversed(own):
        reset()
    return "reset_parameters() of every module"


def _with_own_reset(model: nn.Module) -> Iterator[str]:
    """The tensors of modules whose ``reset_parameters`` is not torch's."""
    for layer, module in model.named_modules():
        reset = _reset_of(module)
        if reset is not None and not str(reset.__module__).startswith(_LIBRARY):
            held = (*module._parameters, *module._buffers)
            yield from (f"{layer}.{name}".lstrip(".") for name in held)


def _reset_of(module: nn.Module) -> Callable[[], object] | None:
    """Its ``reset_parameters``; that of torch's attention begins with an underscore."""
    for name in ("reset_parameters", "_reset_parameters"):
        reset = getattr(module, name, None)
        if callable(reset):
            return cast("Callable[[], object]", reset)
    return None


def _poison(tensor: Tensor) -> None:
    if tensor.is_floating_point() or tensor.is_complex():
        tensor.fill_(float("nan"))
    elif tensor.dtype != torch.bool:
        tensor.fill_(_POISON)
