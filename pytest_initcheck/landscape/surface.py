"""The objective as exact mathematics wants it: value, gradient and Hessian in double precision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.landscape.problem import Problem


class Surface:
    """The objective over flat points, in float64 where it can be evaluated so.

    ``eps`` is the rounding unit of the type in which it really computes. Random draws in the
    objective are the same at every point, so that differences are not noise.
    """

    def __init__(self, problem: Problem) -> None:
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

    def _call(self, flat: Tensor) -> Tensor:
        torch.manual_seed(self._problem.seeds[0])
        return self._problem.value(flat.reshape(self._shape))

    def value(self, point: Tensor) -> float:
        """The objective at a flat float64 point."""
        with torch.no_grad():
            return float(self._call(point.to(self.dtype)))

    def gradient(self, point: Tensor) -> Tensor:
        """The gradient at a flat point, flat, float64."""
        with torch.enable_grad():
            w = point.detach().to(self.dtype).requires_grad_()
            value = self._call(w)
            if not value.requires_grad:
                return torch.zeros_like(point)
            (found,) = torch.autograd.grad(value, [w], allow_unused=True)
        return torch.zeros_like(point) if found is None else found.detach().double()

    def hessian(self, point: Tensor) -> Tensor:
        """The symmetric matrix of second derivatives, elements × elements, float64."""
        w = point.detach().to(self.dtype)
        with torch.enable_grad():
            try:
                found = _hessian(self._call, w, vectorize=len(w) > 8)
            except RuntimeError:
                found = self._differences(w)
        found = found.detach().double()
        return (found + found.T) / 2

    def _differences(self, point: Tensor) -> Tensor:
        """Central differences of the gradient, for functions without a second derivative."""
        step = self.eps ** (1 / 3) * (1 + point.abs().max())
        rows = [
            (self.gradient(point + step * e) - self.gradient(point - step * e)) / (2 * step)
            for e in torch.eye(len(point), dtype=point.dtype, device=point.device)
        ]
        return torch.stack(rows)


def _hessian(function: Callable[[Tensor], Tensor], point: Tensor, vectorize: bool) -> Tensor:
    hessian: Callable[..., Tensor] = torch.autograd.functional.hessian
    if vectorize:
        try:
            return hessian(function, point, vectorize=True)
        except RuntimeError:
            pass
    return hessian(function, point)
