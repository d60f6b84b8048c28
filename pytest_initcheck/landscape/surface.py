"""The objective as exact mathematics wants it: value, gradient and Hessian in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.landscape.problem import EscapeProblem

_FEW = 8
_CHUNK = 256


class Surface:
    """The objective at several flat points (rows) at once, in float64 where it can be evaluated so.

    Mapped over the points where that gives what single calls give. ``eps`` is the rounding unit of
    the type in which it really computes. Random draws in the objective are the same at every point,
    so that differences are not noise.
    """

    def __init__(self, problem: EscapeProblem) -> None:
        self._problem = problem
        self._shape = problem.start.shape
        self.dtype = torch.float64
        try:
            found = self._call(problem.start.flatten().double())
        except InitcheckError:
            # The objective mixes w with tensors of its own type, so it only takes that one.
            self.dtype = problem.start.dtype
            found = self._call(problem.start.flatten())
        self.eps = max(torch.finfo(found.dtype).eps, torch.finfo(self.dtype).eps)
        self._maps: bool | None = None
        self._chunk = max(_CHUNK, len(problem.seeds))

    def _call(self, flat: Tensor) -> Tensor:
        # Not torch.manual_seed, which takes a millisecond.
        torch.default_generator.manual_seed(self._problem.seeds[0])
        if flat.is_cuda:
            torch.cuda.manual_seed(self._problem.seeds[0])
        return self._problem.value(flat.reshape(self._shape))

    def values(self, points: Tensor) -> Tensor:
        """The objective at every point."""
        with torch.no_grad():
            return self._each(points, self._evaluated)

    def gradients(self, points: Tensor) -> Tensor:
        """The gradient at every point."""
        return self._each(points, lambda w: self._slopes(w.requires_grad_(), keep=False))

    def models(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian (symmetric, elements × elements) at every point."""
        found = self._each(points, self._expansions)
        slopes, hessians = found[:, 0], found[:, 1:]
        return slopes, (hessians + hessians.mT) / 2

    def principal(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients, eigenvalues of the Hessians (ascending) and their eigenvectors (columns)."""
        gradients, hessians = self.models(points)
        curvature, axes = torch.linalg.eigh(torch.nan_to_num(hessians))
        return gradients, curvature, axes

    def roundoff(self, points: Tensor, curvature: Tensor) -> Tensor:
        """What rounding may leave of gradients that are really 0, where curvatures are these."""
        size: Tensor = points.norm(dim=-1).clamp(min=1.0)
        return 1e3 * self.eps * curvature * size

    def _each(self, points: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``ask`` says of all points: in large groups where that works, else one by one."""
        points = points.detach().to(self.dtype)
        if len(points) > _FEW and self._can_map(points):
            try:
                return self._joined(points.split(self._chunk), ask)
            except (InitcheckError, RuntimeError):
                self._maps = False
        return self._joined(points.split(1), ask)

    def _joined(self, parts: Iterable[Tensor], ask: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([ask(part.clone()) for part in parts]).double()

    def _can_map(self, points: Tensor) -> bool:
        """Does the mapped objective give what single calls give?"""
        if self._maps is None:
            few = points[:2]
            try:
                with torch.no_grad():
                    mapped = torch.vmap(self._call)(few)
                    single = torch.stack([self._call(point) for point in few])
            except (InitcheckError, RuntimeError):
                self._maps = False
            else:
                near = 64 * self.eps
                self._maps = torch.allclose(mapped, single, near, near, equal_nan=True)
        return self._maps

    def _evaluated(self, w: Tensor) -> Tensor:
        return self._call(w[0])[None] if len(w) == 1 else torch.vmap(self._call)(w)

    def _slopes(self, w: Tensor, keep: bool) -> Tensor:
        with torch.enable_grad():
            values = self._evaluated(w)
            if not values.requires_grad:
                return torch.zeros_like(w)
            total = values.sum()
            (found,) = torch.autograd.grad(total, [w], create_graph=keep, allow_unused=True)
        return torch.zeros_like(w) if found is None else found

    def _expansions(self, w: Tensor) -> Tensor:
        """The gradient of every point, and below it the rows of its Hessian."""
        w.requires_grad_()
        slopes = self._slopes(w, keep=True)
        try:
            # A gradient that is constant looks like one that cannot be differentiated again.
            found = _rows(slopes, w) if slopes.requires_grad else self._differences(w)
        except RuntimeError:
            found = self._differences(w)
        return torch.cat([slopes[:, None], found], 1).detach()

    def _differences(self, w: Tensor) -> Tensor:
        """Central differences of the gradient, for functions without a second derivative."""
        w = w.detach()
        steps = self.eps ** (1 / 3) * (1 + w.abs().amax(1, keepdim=True))
        axes = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
        sides = ([self.gradients(w + sign * steps * e) for e in axes] for sign in (1, -1))
        rows = [(up - down) / (2 * steps) for up, down in zip(*sides, strict=True)]
        return torch.stack(rows, 1).to(self.dtype)


def _rows(slopes: Tensor, w: Tensor) -> Tensor:
    """The derivative of each element of the slopes: all at once for many, where that works."""
    count = w.shape[1]
    basis = torch.eye(count, dtype=w.dtype, device=w.device)[:, None].expand(count, *w.shape)
    if count > _FEW:
        try:
            return _pulled(slopes, w, basis, is_grads_batched=True).transpose(0, 1)
        except RuntimeError:
            pass
    return torch.stack([_pulled(slopes, w, direction) for direction in basis], 1)


def _pulled(slopes: Tensor, w: Tensor, direction: Tensor, is_grads_batched: bool = False) -> Tensor:
    (found,) = torch.autograd.grad(
        slopes,
        [w],
        direction,
        retain_graph=True,
        allow_unused=True,
        is_grads_batched=is_grads_batched,
    )
    return torch.zeros_like(direction) if found is None else found
