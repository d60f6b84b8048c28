"""The Lanczos process: the outermost eigenvalues of a symmetric matrix from its products."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]
MISS = 0.01
_BLOCK = 1 << 16


class Krylov:
    """An orthonormal basis of span{v, Hv, H²v, …}, in which H is tridiagonal.

    Every new vector is orthogonalised against all earlier ones, twice (Parlett: The Symmetric
    Eigenvalue Problem, 1998, sections 6.9 and 13.8). Coefficients are summed in float64.
    """

    def __init__(self, steps: int, start: Tensor, dtype: torch.dtype) -> None:
        self._basis = torch.empty(steps, len(start), dtype=dtype, device=start.device)
        self._next = start / start.norm()
        self._diagonal: list[float] = []
        self._beside: list[float] = []
        self._asymmetry = 0.0

    @property
    def steps(self) -> int:
        """How many products there were."""
        return len(self._diagonal)

    @property
    def size(self) -> int:
        """The order of the matrix."""
        return self._basis.shape[1]

    @property
    def asymmetry(self) -> float:
        """Frobenius norm of what QᵀHQ, as computed, differs from a symmetric tridiagonal matrix."""
        return math.sqrt(2 * self._asymmetry)

    def extend(self, product: Callable[[Tensor], Tensor]) -> None:
        """One step: one product."""
        last = self.steps
        self._basis[last] = self._next
        image = product(self._basis[last])
        rows = self._basis[: last + 1]
        inside = _against(rows, image)
        inside += _against(rows, image)
        self._note(inside)
        self._diagonal.append(float(inside[-1]))
        self._beside.append(float(image.norm()))
        self._next = image.div_(self._beside[-1] or 1.0)

    def _note(self, inside: Tensor) -> None:
        expected = torch.zeros_like(inside[:-1])
        if len(expected):
            expected[-1] = self._beside[-1]
        self._asymmetry += float((inside[:-1] - expected).square().sum())

    def ritz(self) -> tuple[Array, Array]:
        """Ritz values, ascending, and their vectors in the basis, as columns."""
        beside = self._beside[:-1]
        values, vectors = np.linalg.eigh(
            np.diag(self._diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        )
        return values, vectors

    def vector(self, coefficients: Array) -> Tensor:
        """The unit vector with these coefficients in the basis, float64."""
        weights = torch.from_numpy(coefficients.copy()).to(self._basis.device)
        found = torch.empty(self.size, dtype=torch.float64, device=weights.device)
        for part in _blocks(self.size):
            found[part] = weights @ self._basis[: self.steps, part].double()
        return found.div_(found.norm())

    def is_settled(self, eps: float) -> bool:
        """Whether more steps could only add rounding: both ends have converged, or all is seen."""
        if self.steps == self.size:
            return True
        values, vectors = self.ritz()
        floor = eps * float(np.abs(values).max())
        residuals = self._beside[-1] * np.abs(vectors[-1, [0, -1]])
        return bool(residuals.max() <= floor)

    def bound(self, side: int) -> float:
        """Beyond it lies no eigenvalue, with probability 1 − MISS over the random start.

        ``side`` is 1 for the upper end, -1 for the lower. The last vector of the process is
        p(H)v with a known polynomial p, and has norm 1, so that |p(λ)|·|component of v along λ|
        ≤ 1; that component is below δ with probability MISS. So |p| = 1/δ at the bound (van
        Dorsselaer, Hochstenbach, van der Vorst: Computing probabilistic bounds for extreme
        eigenvalues of symmetric matrices with the Lanczos method, 2000).
        """
        values = np.sort(side * self.ritz()[0])
        logs = math.fsum(math.log(b) if b > 0 else -math.inf for b in self._beside)
        if self.steps == self.size or logs == -math.inf:
            return float(side * values[-1])
        target = logs - math.log(_least_component(self.size))
        low, high = 0.0, math.exp(target / self.steps)
        while low < (middle := (low + high) / 2) < high:
            grows = np.log(np.maximum(values[-1] + middle - values, 5e-324)).sum()
            low, high = (middle, high) if grows < target else (low, middle)
        return float(side * (values[-1] + high))


def krylov(
    product: Callable[[Tensor], Tensor], start: Tensor, steps: int, eps: float, dtype: torch.dtype
) -> Krylov:
    """Run the process for at most ``steps`` steps, fewer where it has settled.

    ``start`` is a random vector (size, float64); ``eps`` the relative rounding of the product;
    ``dtype`` what the basis, ``steps`` × size, is kept in.
    """
    found = Krylov(min(steps, len(start)), start, dtype)
    for _ in range(min(steps, len(start))):
        found.extend(product)
        if found.is_settled(eps):
            break
    return found


def _least_component(size: int) -> float:
    """Below it, with probability MISS, lies |one coordinate| of a random unit vector."""
    from scipy.special import betaincinv

    return math.sqrt(betaincinv(0.5, (size - 1) / 2, MISS)) if size > 1 else 1.0


def _against(rows: Tensor, vector: Tensor) -> Tensor:
    """Take from the vector, in place, what lies along the rows; return how much that was."""
    blocks = list(_blocks(len(vector)))
    inside = torch.zeros(len(rows), dtype=torch.float64, device=vector.device)
    for part in blocks:
        inside += (rows[:, part] @ vector[part].to(rows.dtype)).double()
    weights = inside.to(rows.dtype)
    for part in blocks:
        vector[part] -= weights @ rows[:, part]
    return inside


def _blocks(size: int) -> list[slice]:
    # Short enough for sums in float32, which are then added in float64.
    return [slice(at, min(at + _BLOCK, size)) for at in range(0, size, _BLOCK)]
