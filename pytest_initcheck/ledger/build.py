"""A model built while every write to its parameters and buffers is recorded."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.ledger.facts import Registration, facts_of
from pytest_initcheck.ledger.recorder import Recorder
from pytest_initcheck.ledger.storages import storage_of

# Makes the ledger of what was noted while a model was built.
Telling = Callable[[], ConstructionFacts]


class Recorded:
    """A model together with the ledger of how it was built.

    The ledger is made of the notes when the model or the ledger is first asked for, so that the
    values that it tells of are those that the model was built with.
    """

    def __init__(self, *, model: nn.Module, facts: ConstructionFacts | Telling) -> None:
        self._model = model
        self._facts = facts

    @property
    def model(self) -> nn.Module:
        """The model, as the factory alone would have built it."""
        _ = self.facts
        return self._model

    @cached_property
    def facts(self) -> ConstructionFacts:
        """Every parameter and buffer with the calls that wrote it."""
        if isinstance(self._facts, ConstructionFacts):
            return self._facts
        # The notes are let go of.
        told = self._facts = self._facts()
        return told


def build(factory: Callable[[], Any]) -> tuple[Any, ConstructionFacts]:
    """What ``factory()`` returns, and how the tensors of the model came to their values.

    Nothing is recorded of what is no ``nn.Module``. Whatever the factory raises is raised.

    Raises:
        InitcheckError: the factory cannot be called without arguments.
    """
    model, facts = record(factory)
    return model, facts()


def record(factory: Callable[[], Any]) -> tuple[Any, Telling]:
    """The same, the ledger to be made by whoever needs it, before the model is changed."""
    recorder = Recorder()
    try:
        with _registrations(recorder) as registered, recorder:
            model = _called(factory)
        if not isinstance(model, nn.Module):
            return model, ConstructionFacts
        if not recorder.has_marks:
            return model, lambda: facts_of(model, recorder.settle(), registered)
        # Before the marks go, which tell what nothing wrote to.
        facts = facts_of(model, recorder.settle(), registered)
        return model, lambda: facts
    finally:
        recorder.put_back()


def built(given: Any) -> tuple[Any, ConstructionFacts | None]:
    """The model that was given, or that what was given builds, and its ledger where there is one.

    What is no factory either passes through, to be refused where models are. Whatever the factory
    raises is raised.

    Raises:
        InitcheckError: the factory cannot be called without arguments.
    """
    model, facts = unpacked(given)
    is_factory = callable(model) and not isinstance(model, nn.Module)
    return build(model) if is_factory else (model, facts)


def unpacked(given: Any) -> tuple[Any, ConstructionFacts | None]:
    """The model of what ``construction`` returned, with its ledger; all else as it is, without."""
    return (given.model, given.facts) if isinstance(given, Recorded) else (given, None)


def _called(factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except TypeError:
        _check(factory)
        raise


def _check(factory: Callable[[], Any]) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        # Some callables have none that can be read.
        return
    try:
        signature.bind()
    except TypeError as error:
        name = getattr(factory, "__name__", type(factory).__name__)
        raise InitcheckError(
            f"model is {name}, which cannot be called without arguments ({error}); pass a model, "
            f"or what builds one: lambda: {name}(…)"
        ) from None


@contextlib.contextmanager
def _registrations(recorder: Recorder) -> Iterator[list[Registration]]:
    """What came to stand at which place of which module, in order."""
    registered: list[Registration] = []

    def note(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            storage = storage_of(tensor)
            key = 0 if storage is None else recorder.numbers.keep(storage)
            registered.append((weakref.ref(module), name, key))

    handles = [
        hooks.register_module_parameter_registration_hook(note),
        hooks.register_module_buffer_registration_hook(note),
    ]
    try:
        yield registered
    finally:
        for handle in handles:
            handle.remove()
