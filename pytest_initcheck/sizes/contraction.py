"""Products of data with a weight: what an operator multiplies, and the same with other weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOST_ROWS = 16  # Rows of the data that are kept: their mean square is that of all within a few %.
MOST_OUTPUTS = (
    256  # Units whose products with a weight are made again after a step: of all within 2 %.
)
MOST_SAMPLES = 4  # Images and sequences hold many places each.
Arguments = tuple[Any, ...]
# Where the two factors of an operator stand among its arguments.
FACTORS: dict[str, tuple[int, int]] = {
    "mm": (0, 1), "bmm": (0, 1), "mv": (0, 1), "matmul": (0, 1), "addmm": (1, 2),
    "baddbmm": (1, 2), "addmv": (1, 2), "convolution": (0, 1), "_convolution": (0, 1),
    "embedding": (1, 0), "linear": (0, 1),
}  # fmt: skip


@dataclass(kw_only=True)
class Contraction:
    """One product with a weight, on some rows of the data.

    ``product`` gives the product of these rows with any weight of the same shape, without bias, of
    at most 256 units where the weight is a matrix;
    ``made`` is what the operator gave for them, with it. ``fan_in`` counts the values that are
    summed for one output, ``fan_out`` the outputs. ``before`` and ``after`` are constants that the
    program multiplies the data and the result with; ``rows_in_all`` is how many rows there were.
    """

    parameter: str
    operator: str
    weight: Tensor
    rows: Tensor
    made: Tensor
    product: Callable[[Tensor], Tensor]
    fan_in: int
    fan_out: int
    rows_in_all: int
    before: float = 1.0
    after: float = 1.0

    @property
    def expected_gain(self) -> float:
        """What data that the weight does not know is multiplied with, over its root mean square."""
        terms = 1 if self.operator == "embedding" else self.fan_in
        return abs(self.before * self.after) * math.sqrt(terms)


def contraction(
    operator: str, args: Arguments, out: Tensor, parameter: str, *, is_first: bool
) -> Contraction:
    """The product that an operator of `FACTORS` has just made.

    ``is_first`` says that the weight is the first of the two factors as they are listed there.
    """
    data, weight = (args[place] for place in FACTORS[operator])
    if operator in ("convolution", "_convolution"):
        made = _convolved(args, out)
    elif operator == "embedding":
        made = _looked_up(data, weight, out)
    elif operator == "linear":
        made = _right(data, weight.t(), out)
        made = {**made, "product": lambda w, product=made["product"]: product(w.t())}
    elif is_first:
        data, weight = weight, data
        made = _left(data, weight, out)
    else:
        made = _right(data, weight, out)
    return Contraction(parameter=parameter, operator=operator, weight=weight, **made)


def every(count: int, most: int) -> slice:
    """At most so many of them, evenly."""
    return slice(None, None, max(1, math.ceil(count / most)))


def _right(data: Tensor, weight: Tensor, out: Tensor) -> dict[str, Any]:
    count = data.shape[-2]
    chosen = (..., every(count, MOST_ROWS), slice(None))
    rows, units = data[chosen].clone(), every(weight.shape[-1], MOST_OUTPUTS)
    return {
        "rows": rows,
        "made": out[chosen].clone(),
        "product": lambda w: rows @ w[..., units],
        "fan_in": weight.shape[-2],
        "fan_out": weight.shape[-1],
        "rows_in_all": count,
    }


def _left(data: Tensor, weight: Tensor, out: Tensor) -> dict[str, Any]:
    is_vector = data.dim() == 1
    count = 1 if is_vector else data.shape[-1]
    chosen = ... if is_vector else (..., every(count, MOST_ROWS))
    rows = data[chosen].clone()
    return {
        "rows": rows,
        "made": out[chosen].clone(),
        "product": lambda w: w @ rows,
        "fan_in": weight.shape[-1],
        "fan_out": weight.shape[-2],
        "rows_in_all": count,
    }


def _convolved(args: Arguments, out: Tensor) -> dict[str, Any]:
    data, weight, (how, is_transposed, groups) = args[0], args[1], (args[3:9], args[6], args[8])
    chosen = every(data.shape[0], MOST_SAMPLES)
    rows = data[chosen].clone()
    kernel = math.prod(weight.shape[2:])
    inputs = weight.shape[0] // groups if is_transposed else weight.shape[1]
    return {
        "rows": rows,
        "made": out[chosen].clone(),
        "product": lambda w: torch.convolution(rows, w, None, *how),
        "fan_in": inputs * kernel,
        "fan_out": out.shape[1],
        "rows_in_all": out.numel() // out.shape[1],
    }


def _looked_up(indices: Tensor, weight: Tensor, out: Tensor) -> dict[str, Any]:
    chosen = every(indices.numel(), MOST_ROWS)
    rows = indices.reshape(-1)[chosen].clone()
    return {
        "rows": rows,
        "made": out.reshape(-1, out.shape[-1])[chosen].clone(),
        "product": lambda w: w[rows],
        "fan_in": weight.shape[0],
        "fan_out": weight.shape[1],
        "rows_in_all": indices.numel(),
    }
