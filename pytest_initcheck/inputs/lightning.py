"""A LightningModule without its trainer: its step as a loss, its optimisers, what it may touch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from pytest_initcheck.capture.program import refused
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs.optimizers import normalised, schedules_in
from pytest_initcheck.inputs.signature import takes

_LIBRARIES = ("lightning.", "pytorch_lightning.")
# What a module may read of its trainer before the first step.
_AT_START: dict[str, Any] = {
    "current_epoch": 0, "global_step": 0, "max_epochs": 1, "max_steps": -1, "min_epochs": None,
    "estimated_stepping_batches": 1000, "num_training_batches": 1000, "world_size": 1,
    "num_devices": 1, "num_nodes": 1, "global_rank": 0, "local_rank": 0, "node_rank": 0,
    "is_global_zero": True, "training": True, "validating": False, "testing": False,
    "sanity_checking": False, "is_last_batch": False, "accumulate_grad_batches": 1,
    "fast_dev_run": False, "logger": None, "callbacks": (), "precision": "32-true",
    "gradient_clip_val": None, "callback_metrics": {}, "logged_metrics": {}, "barebones": False,
    "check_val_every_n_epoch": 1, "log_every_n_steps": 50,
}  # fmt: skip
INSTEAD = "pass forward=lambda model, batch: … that returns the loss"


class MissingTrainer(InitcheckError, AttributeError):
    """What only a trainer has; an AttributeError too, for who asks whether it is there."""


class Trainer:
    """Stands for the trainer: what is known before the first step, a clear word for the rest."""

    def __init__(self) -> None:
        self.loggers: list[Any] = []
        vars(self).update(_AT_START)

    def __getattr__(self, name: str) -> Any:
        raise MissingTrainer(
            f"the module asks its trainer for {name!r}, and there is no trainer here; {INSTEAD}, "
            "or ask for it only where the module has one"
        )


class TrainingStep:
    """``forward`` for a program: the loss that a ``training_step`` returns for a batch."""

    def __init__(self, model: Any) -> None:
        # What a record says of a loss that is a function, it says of this one, too.
        self.__code__ = getattr(type(model).training_step, "__code__", None)

    def __call__(self, model: Any, batch: Any) -> Any:
        with lent(model):
            returned = model.training_step(*_arguments(model, batch))
        if returned is None:
            raise InitcheckError(
                "training_step returned None, which a trainer takes for a step to be skipped; pass "
                "a batch on which it returns the loss"
            )
        return returned


def is_stepped(model: Any) -> bool:
    """Whether a model brings a training step of its own; a base class's does not count."""
    return isinstance(model, nn.Module) and _has_own(model, "training_step")


def check_automatic(model: Any) -> None:
    """Raise an InitcheckError where the module optimises by hand."""
    if getattr(model, "automatic_optimization", True) is False:
        raise InitcheckError(_by_hand(model))


def own_optimizer(model: Any) -> tuple[Any, str]:
    """What makes the optimiser that the module configures, and what is said of it; None for none.

    Raises:
        InitcheckError: ``configure_optimizers`` raised.
    """
    if not _has_own(model, "configure_optimizers"):
        return None, ""
    with preserved(model):
        configured = _configured(model)
    if configured is None:
        return None, "optimizer: configure_optimizers returns None"
    schedules = schedules_in(configured)
    parts = getattr(normalised(configured), "optimizers", ())
    several = f" ({len(parts)}, one after the other on the one loss)" if parts else ""
    left = f"; {', '.join(schedules)} not stepped" if schedules else ""
    return (
        lambda parameters: normalised(_configured(model)),
        f"optimizer: configure_optimizers{several}{left}",
    )


@contextmanager
def lent(model: Any, **more: Any) -> Iterator[None]:
    """Inside, a module without a trainer has a stand-in for it, and logs nowhere."""
    if getattr(model, "_trainer", None) is not None:
        yield
        return
    kept = dict(vars(model))
    # Past the module's own __setattr__, which registers what is a module.
    vars(model).update(stand_ins(model) | more)
    try:
        yield
    finally:
        for name in (*stand_ins(model), *more):
            if name in kept:
                vars(model)[name] = kept[name]
            else:
                vars(model).pop(name, None)


def stand_ins(model: Any) -> dict[str, Any]:
    """What a module without a trainer lacks, by name."""
    by_hand = _raiser(model)
    functions = {
        "log": _nothing, "log_dict": _nothing, "all_gather": _itself, "print": _nothing,
        "optimizers": lambda *args, **options: _its_optimizers(model),
        "manual_backward": by_hand, "lr_schedulers": _nothing,
    }  # fmt: skip
    found = {name: function for name, function in functions.items() if not _has_own(model, name)}
    if isinstance(getattr(type(model), "trainer", None), property):
        return {**found, "_trainer": Trainer()}
    return {**found, "trainer": Trainer()} if _lacks_trainer(model) else found


def _its_optimizers(model: Any) -> Any:
    made = normalised(_configured(model))
    return getattr(made, "optimizers", made)


def _lacks_trainer(model: Any) -> bool:
    return vars(model).get("trainer") is None


def _nothing(*args: Any, **options: Any) -> None:
    return None


def _itself(value: Any, *args: Any, **options: Any) -> Any:
    return value


def _raiser(model: Any) -> Any:
    def refuse(*args: Any, **options: Any) -> Any:
        raise InitcheckError(_by_hand(model))

    return refuse


def _by_hand(model: Any) -> str:
    return (
        f"{type(model).__name__} optimises by hand (automatic_optimization=False), so that its "
        "training_step gives no loss to diagnose; pass forward=lambda model, batch: … that returns "
        "the loss of one optimiser, or check the step itself with pytest_initcheck.check_step("
        "module, module, optimizers, batch)"
    )


def _configured(model: Any) -> Any:
    try:
        with lent(model):
            return model.configure_optimizers()
    except Exception as error:
        raise refused("configure_optimizers", error, "optimizer=… to take another") from error


def _arguments(model: Any, batch: Any) -> list[Any]:
    """The batch, and zero for the index and whatever else the step needs."""
    asked = takes(model.training_step)
    if asked is None or asked.most == float("inf"):
        return [batch, 0]
    return [batch] + [0] * max(asked.required - 1, 0)


def _has_own(model: Any, name: str) -> bool:
    function = getattr(type(model), name, None)
    return callable(function) and not _is_base(model, name)


def _is_base(model: Any, name: str) -> bool:
    function = getattr(type(model), name, None)
    return str(getattr(function, "__module__", "")).startswith(_LIBRARIES)
