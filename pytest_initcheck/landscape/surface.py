"""The objective as exact mathematics wants it: value, gradient and Hessian in double precision."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.landscape.problem import EscapeProblem

_FEW = 8
_CHUNK = 256


class Surface:
    """The objective over flat points, in float64 where it can be evaluated so.

    ``eps`` is the rounding unit of the type in which it really computes. Random draws in the
    objective are the same at every point, so that differences are not noise.
    """

    def __init__(self, problem: EscapeProblem) -> None:
        self._problem = problem
        self._shape = problem.start.shape
        self.dtype = torch.float64
        self._maps = True
        try:
            found = self._call(problem.start.flatten().double())
        except InitcheckError:
            # The objective mixes w with tensors of its own type, so it only takes that one.
            self.dtype = problem.start.dtype
            found = self._call(problem.start.flatten())
        self.eps = max(torch.finfo(found.dtype).eps, torch.finfo(self.dtype).eps)

    def _call(self, flat: Tensor) -> Tensor:
        # Not torch.manual_seed, which takes a millisecond.
        torch.default_generator.manual_seed(self._problem.seeds[0])
        if flat.is_cuda:
            torch.cuda.manual_seed(self._problem.seeds[0])
        return self._problem.value(flat.reshape(self._shape))

    def value(self, point: Tensor) -> float:
        """The objective at a flat float64 point."""
        with torch.no_grad():
            return float(self._call(point.to(self.dtype)))

    def gradient(self, point: Tensor) -> Tensor:
        """The gradient at a flat point, flat, float64."""
        return self._slope(point.detach().to(self.dtype).requires_grad_(), keep=False).double()

    def gradients(self, points: Tensor) -> Tensor:
        """The gradients at several flat points (rows), float64; mapped where that works."""
        if len(points) > _FEW and self._maps:
            try:
                parts = torch.split(points, _CHUNK)
                return torch.cat([self._mapped(part.to(self.dtype)) for part in parts]).double()
            except (InitcheckError, RuntimeError):
                self._maps = False
        return torch.stack([self.gradient(point) for point in points])

    def _mapped(self, points: Tensor) -> Tensor:
        w = points.detach().requires_grad_()
        with torch.enable_grad():
            values = torch.vmap(self._call)(w)
        (found,) = torch.autograd.grad(values.sum(), [w])
        return found

    def principal(self, point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient, eigenvalues of the Hessian (ascending) and its eigenvectors (columns)."""
        gradient, hessian = self.model(point)
        curvature, axes = torch.linalg.eigh(torch.nan_to_num(hessian))
        return gradient, curvature, axes

    def roundoff(self, point: Tensor, curvature: float) -> float:
        """What rounding may leave of a gradient that is really 0, where the curvature is this."""
        return 1e3 * self.eps * curvature * max(1.0, float(point.norm()))

    def model(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian (symmetric, elements × elements) at a flat point, float64."""
        w = point.detach().to(self.dtype).requires_grad_()
        slope = self._slope(w, keep=True)
        try:
            # A gradient that is constant looks like one that cannot be differentiated again.
            found = _rows(slope, w) if slope.requires_grad else self._differences(w.detach())
        except RuntimeError:
            found = self._differences(w.detach())
        found = found.detach().double()
        return slope.detach().double(), (found + found.T) / 2

    def _slope(self, w: Tensor, keep: bool) -> Tensor:
        with torch.enable_grad():
            value = self._call(w)
            if not value.requires_grad:
                return torch.zeros_like(w)
            (found,) = torch.autograd.grad(value, [w], create_graph=keep, allow_unused=True)
        return torch.zeros_like(w) if found is None else found

    def _differences(self, point: Tensor) -> Tensor:
        """Central differences of the gradient, for functions without a second derivative."""
        step = self.eps ** (1 / 3) * (1 + point.abs().max())
        rows = [
            (self.gradient(point + step * e) - self.gradient(point - step * e)) / (2 * step)
            for e in torch.eye(len(point), dtype=point.dtype, device=point.device)
        ]
        return torch.stack(rows)


def _rows(slope: Tensor, w: Tensor) -> Tensor:
    """The derivative of each element of ``slope``: all at once for many, where that works."""
    basis = torch.eye(len(w), dtype=w.dtype, device=w.device)
    if len(w) > _FEW:
        try:
            return _pulled(slope, w, basis, is_grads_batched=True)
        except RuntimeError:
            pass
    return torch.stack([_pulled(slope, w, direction) for direction in basis])


def _pulled(slope: Tensor, w: Tensor, direction: Tensor, is_grads_batched: bool = False) -> Tensor:
    (found,) = torch.autograd.grad(
        slope,
        [w],
        direction,
        retain_graph=True,
        allow_unused=True,
        is_grads_batched=is_grads_batched,
    )
    return torch.zeros_like(direction) if found is None else found
