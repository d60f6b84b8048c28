"""Follows the gradient of one parameter: what backward brings, what is left, what is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(kw_only=True)
class Track:
    """One parameter's gradient on its way through a step.

    ``raw`` is what backward has brought since the gradient was last cleared, before any hook of
    the user's; ``last`` the norm at the last use, where nothing has been brought since
    (``is_fresh`` false) still the same gradient. ``is_stale`` says that a backward has added to
    a gradient that had been used.
    """

    name: str
    parameter: Tensor
    raw: Tensor | None = None
    brought: Tensor | None = None
    before: float = 0.0
    own: float = 0.0
    last: float | None = None
    share: float = 0.0
    is_fresh: bool = False
    is_stale: bool = False
    is_reached: bool = False
    is_moved_by_last: bool = False
    mark: tuple[int, float] = (0, 0.0)
    taken: Tensor | None = None
    version: int = 0
    was_discarded: bool = False

    def coming(self, gradient: Tensor) -> None:
        """A backward is about to add ``gradient``, which user's hooks may yet change."""
        self.before = size(self.parameter.grad)
        self.own = size(gradient)
        is_plain = gradient.layout == torch.strided
        self.brought = gradient.detach().clone() if is_plain else None

    def added(self) -> None:
        """The backward has added it."""
        is_empty = self.before == 0
        self.was_discarded = is_empty and self.is_fresh
        if is_empty:
            self.is_stale, self.raw = False, self.brought
        else:
            if self.last is not None and same_values(self.before, self.last):
                self.is_stale = True
                is_share = 0 < self.own < math.inf and math.isfinite(self.before)
                self.share = self.before / self.own if is_share else math.inf
            both = self.raw is not None and self.brought is not None
            self.raw = self.raw + self.brought if both else None  # type: ignore[operator]
        self.is_fresh = self.is_reached = True

    def rebase(self) -> None:
        """What the gradient is now counts as what backward has brought."""
        gradient = self.parameter.grad
        is_plain = gradient is not None and gradient.layout == torch.strided
        self.raw = gradient.detach().clone() if gradient is not None and is_plain else None

    def use(self) -> None:
        """An optimiser takes the gradient as it is."""
        self._remember()
        self.is_fresh = self.is_stale = False
        self.is_reached |= self.last != 0
        self.mark = self._place()

    def used(self) -> None:
        """The optimiser has stepped; it may have changed the gradient on its way."""
        self.is_moved_by_last = self._place() != self.mark
        self._remember()

    @property
    def norm(self) -> float:
        """Of the gradient as it is, 0 where there is none."""
        return size(self.parameter.grad)

    @property
    def is_repeated(self) -> bool:
        """Whether the gradient is one that has already moved the parameter."""
        gradient = self.parameter.grad
        if gradient is None or gradient is not self.taken or gradient._version != self.version:
            return False
        # Code of old clears through .data, which leaves the version as it is.
        is_old = not self.is_fresh and self.is_moved_by_last
        return is_old and self.norm > 0 and same_values(self.norm, self.last or 0.0)

    def _remember(self) -> None:
        gradient = self.parameter.grad
        self.last, self.taken = size(gradient), gradient
        self.version = 0 if gradient is None else gradient._version

    def _place(self) -> tuple[int, float]:
        return self.parameter._version, size(self.parameter)


def size(value: Any) -> float:
    """The norm of a tensor, dense or sparse; 0 for None, NaN or inf where it holds such."""
    if value is None:
        return 0.0
    tensor = value.detach()
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    if not tensor.numel():
        return 0.0
    exact = torch.float32 if tensor.device.type == "mps" else torch.float64
    tensor = tensor.abs() if tensor.is_complex() else tensor
    return float(torch.linalg.vector_norm(tensor.to(exact)))


def same_values(a: float, b: float) -> bool:
    """Whether two norms are those of one gradient: equal, or both not finite."""
    return a == b or not (math.isfinite(a) or math.isfinite(b))


def total(norms: Any) -> float:
    """The norm of everything together."""
    return math.sqrt(sum(norm * norm for norm in norms))
