"""A loss by its name in torch, or as a class, as the function that it stands for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional

from pytest_initcheck.errors import InitcheckError

_SHORT = {
    "mse": "mse_loss", "mae": "l1_loss", "l1": "l1_loss", "ce": "cross_entropy", "nll": "nll_loss",
    "bce": "binary_cross_entropy", "bce_with_logits": "binary_cross_entropy_with_logits",
    "huber": "huber_loss", "smooth_l1": "smooth_l1_loss",
}  # fmt: skip


def loss_of(given: Any) -> tuple[Any, str]:
    """The loss that was passed, as a function, and what was made of it; "" for one as it is.

    Raises:
        InitcheckError: a name that no loss of torch has, or a class that needs arguments.
    """
    if isinstance(given, str):
        return _named(given), f"loss_fn: torch's {given!r}"
    if isinstance(given, type) and issubclass(given, nn.Module):
        try:
            return given(), f"loss_fn: {given.__name__}() of the class"
        except TypeError as error:
            raise InitcheckError(
                f"loss_fn is the class {given.__name__}, which needs arguments ({error}); pass "
                f"loss_fn={given.__name__}(…)"
            ) from None
    return given, ""


def _named(name: str) -> Any:
    found = getattr(functional, _SHORT.get(name, name), None) if name in names() else None
    if found is not None:
        return found
    if hasattr(nn, name) and name.endswith("Loss"):
        return getattr(nn, name)()
    near = [known for known in names() if len(name) > 1 and known.startswith(name.lower())]
    near = near[:1] or difflib.get_close_matches(name, names(), n=1)
    hint = f"loss_fn={near[0]!r}" if near else "loss_fn='cross_entropy', 'mse_loss' or a function"
    raise InitcheckError(f"loss_fn is {name!r}, which is no loss of torch; pass {hint}")


def names() -> list[str]:
    """The names of torch's losses, and their usual short forms."""
    known = [
        name
        for name, value in vars(functional).items()
        if isinstance(value, Callable)  # type: ignore[arg-type]
        and (name.endswith("_loss") or "cross_entropy" in name or name == "kl_div")
        and not name.startswith("_")
    ]
    return sorted({*known, *_SHORT})
