"""``jacobian``: the singular values of what a model makes of small changes of its input.

A network of which they are all near one passes signals and gradients of every direction alike
(dynamical isometry; Saxe, McClelland and Ganguli: Exact solutions to the nonlinear dynamics of
learning in deep linear neural networks, 2014; Pennington, Schoenholz and Ganguli: Resurrecting the
sigmoid in deep learning through dynamical isometry, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.prepare import opened
from pytest_initcheck.capture.program import (
    Forward,
    Program,
    copied,
    main_tensor,
    refused,
    split,
    tensors_of,
)
from pytest_initcheck.curvature.lanczos import Krylov, krylov
from pytest_initcheck.curvature.point import Outermost
from pytest_initcheck.curvature.smooth import smooth
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs import adapted
from pytest_initcheck.ledger import Recorded, built
from pytest_initcheck.records import RunRecord

STEPS = 128
SAMPLES = 4


class SingularValue(Outermost):
    """An outermost singular value of a Jacobian J.

    ``error`` comes from the residual of the Lanczos process on JJᵀ and its rounding (Parlett: The
    Symmetric Eigenvalue Problem, 1998, theorem 4.5.1). The outermost lies at ``value`` or further
    out.
    """


@dataclass(frozen=True, kw_only=True)
class SampleJacobian:
    """The Jacobian of one sample's output against its own input: outputs × inputs.

    ``mean_square`` is the mean of the squares of its min(outputs, inputs) singular values, exact
    where ``steps`` equals that number, else estimated from the random start.
    """

    sample: int
    shape: tuple[int, int]
    largest: SingularValue
    smallest: SingularValue
    mean_square: float
    steps: int

    @property
    def rank(self) -> int:
        """How many singular values there are: min(outputs, inputs)."""
        return min(self.shape)

    @property
    def is_exact(self) -> bool:
        """Whether the process saw the whole spectrum."""
        return self.steps == self.rank

    def __str__(self) -> str:
        return (
            f"sample {self.sample}: {self.rank} singular values from {self.smallest} to "
            f"{self.largest}, root mean square {math.sqrt(self.mean_square):.3g}"
        )


@dataclass(frozen=True, kw_only=True)
class Jacobian:
    """Input–output Jacobians of some samples of a batch; see `jacobian`."""

    samples: tuple[SampleJacobian, ...]
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def largest(self) -> SingularValue:
        """The largest singular value of all samples."""
        return max((one.largest for one in self.samples), key=lambda value: value.value)

    @property
    def smallest(self) -> SingularValue:
        """The smallest singular value of all samples."""
        return min((one.smallest for one in self.samples), key=lambda value: value.value)

    @property
    def mean_square(self) -> float:
        """The mean square of the singular values, over the samples."""
        return math.fsum(one.mean_square for one in self.samples) / len(self.samples)

    @property
    def spread(self) -> float:
        """By how much the worst sample stretches one direction more than another: the largest
        ratio of its outermost singular values; infinite where one of them is 0."""
        return max(
            one.largest.value / one.smallest.value if one.smallest.value else math.inf
            for one in self.samples
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.samples))

    def run_record(self) -> RunRecord:
        """The record for report and baseline."""
        return RunRecord(
            metrics={
                "largest singular value": (self.largest.value,),
                "smallest singular value": (self.smallest.value,),
                "root mean square singular value": (math.sqrt(self.mean_square),),
            },
            meta={**self.meta, "samples": str(len(self.samples))},
        )


def jacobian(
    model: nn.Module | Callable[[], nn.Module] | Recorded,
    batch: Any,
    forward: Forward | None = None,
    device: str | torch.device | None = None,
    *,
    samples: int = SAMPLES,
    steps: int = STEPS,
    seed: int = 0,
) -> Jacobian:
    """Measure the outermost singular values of a model's input–output Jacobian.

    Of each sample its output, flat, against its input, flat, in training mode without dropout, with
    the other samples held. Everything is put back bit for bit, as `pytest_initcheck.diagnose` does,
    which takes ``model``, ``batch``, ``forward`` and ``device`` in the same forms.

    Args:
        samples: of how many samples, the first of the batch. Default 4.
        steps: the most products of the Lanczos process for each, from 1 up; a product is one pass
            forward and one backward. Default 128; exact where the smaller side of the Jacobian is
            no larger.
        seed: of the random vector that the process starts from.

    Raises:
        InitcheckError: wrong use or bad input: inputs that are not one floating tensor, outputs
            without a row for every sample, or derivatives that are not finite.
    """
    validate.check_steps(steps)
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InitcheckError(f"samples is {samples!r}; pass how many, from 1 up")
    module, _ = built(model)
    given = adapted(module, batch, None if forward else _no_loss, forward=forward)
    with opened(module, given.batch, given.loss_fn, given.forward, device) as program:
        program.materialise()
        function = _Function(program)
        found = [_measured(function, i, steps, seed) for i in range(min(samples, function.count))]
        return Jacobian(samples=tuple(found), meta={"model": type(program.model).__name__})


def _no_loss(output: Any, targets: Any = None) -> Tensor:
    """What a program has in place of a loss that nobody asks for."""
    found: Tensor = main_tensor(output)
    return found.sum()


class _Function:
    """The model as a function of its inputs; the graph is kept for all products."""

    def __init__(self, program: Program) -> None:
        with smooth(program.model), torch.enable_grad():
            batch = copied(program.batch)
            self.inputs = _required(batch)
            output = main_tensor(program.observe(batch).output)
        if output is None or not output.ndim or len(output) != len(self.inputs):
            shape = None if output is None else tuple(output.shape)
            raise InitcheckError(
                f"the output has shape {shape}, no row for each of the {len(self.inputs)} samples; "
                "pass a model that gives one"
            )
        self.output = output
        # Products with J are gradients of products with its transpose, which are linear.
        self._weights = torch.zeros_like(output, requires_grad=True)
        (self._pulled,) = _gradient(output, self.inputs, self._weights, create_graph=True)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.inputs)

    def pull(self, sample: int, vector: Tensor) -> Tensor:
        """Jᵀ times a flat vector of the sample's outputs."""
        weights = _placed(self.output, sample, vector)
        (found,) = _gradient(self.output, self.inputs, weights, retain_graph=True)
        return _row(found, sample)

    def push(self, sample: int, vector: Tensor) -> Tensor:
        """J times a flat vector of the sample's inputs."""
        weights = _placed(self.inputs, sample, vector)
        (found,) = _gradient(self._pulled, self._weights, weights, retain_graph=True)
        return _row(found, sample)


def _required(batch: Any) -> Tensor:
    """The inputs in a batch of the program's form, made to be differentiated."""
    inputs = list(tensors_of(split(batch)[0]))
    if len(inputs) != 1 or not inputs[0].is_floating_point() or not inputs[0].ndim:
        told = ", ".join(str(each.dtype) for each in inputs) or "nothing"
        raise InitcheckError(
            f"the inputs are {told}, which have no Jacobian; pass a model of one floating tensor, "
            "such as what follows the embedding"
        )
    return inputs[0].requires_grad_()


def _gradient(outputs: Tensor, inputs: Tensor, weights: Tensor, **options: bool) -> Any:
    try:
        return torch.autograd.grad(outputs, inputs, weights, materialize_grads=True, **options)
    except Exception as error:
        raise refused(
            "the backward pass", error, "a model that autograd can differentiate twice"
        ) from error


def _placed(like: Tensor, sample: int, vector: Tensor) -> Tensor:
    found = torch.zeros_like(like)
    found[sample] = vector.to(like.dtype).view_as(found[sample])
    return found


def _row(found: Tensor, sample: int) -> Tensor:
    values = found[sample].detach().reshape(-1).double()
    if not bool(values.isfinite().all()):
        raise InitcheckError(
            "the derivatives of the output are not finite on this batch; pass the model to "
            "diagnose, which names the layer where it begins"
        )
    return values


def _measured(function: _Function, sample: int, steps: int, seed: int) -> SampleJacobian:
    outputs, inputs = function.output[sample].numel(), function.inputs[sample].numel()
    if outputs <= inputs:
        product = _of_pair(function.pull, function.push, sample)
    else:
        product = _of_pair(function.push, function.pull, sample)
    size = min(outputs, inputs)
    source = torch.Generator().manual_seed(seed)
    start = torch.randn(size, dtype=torch.float64, generator=source)
    eps = torch.finfo(function.output.dtype).eps
    basis = krylov(product, start.to(function.output.device), steps, eps, torch.float64)
    return SampleJacobian(
        sample=sample,
        shape=(outputs, inputs),
        largest=_end(basis, product, 1, eps),
        smallest=_end(basis, product, -1, eps),
        mean_square=_mean_square(basis),
        steps=basis.steps,
    )


def _of_pair(
    first: Callable[[int, Tensor], Tensor], second: Callable[[int, Tensor], Tensor], sample: int
) -> Callable[[Tensor], Tensor]:
    return lambda vector: second(sample, first(sample, vector))


def _end(
    basis: Krylov, product: Callable[[Tensor], Tensor], side: int, eps: float
) -> SingularValue:
    """One end of the spectrum of JJᵀ, as a singular value of J."""
    values, vectors = basis.ritz()
    vector = basis.vector(vectors[:, -1 if side > 0 else 0])
    image = product(vector)
    square = max(float(vector @ image), 0.0)
    rounding = basis.asymmetry + eps * float(abs(values).max())
    doubt = float((image - square * vector).norm()) + rounding
    bound = max(side * square, side * basis.bound(side)) * side
    value = math.sqrt(square)
    reach = math.sqrt(square + doubt) - value, value - math.sqrt(max(square - doubt, 0.0))
    return SingularValue(value, max(reach), math.sqrt(max(bound, 0.0)))


def _mean_square(basis: Krylov) -> float:
    """The mean eigenvalue: of all of them, or with the weights of the start, which is random."""
    values, vectors = basis.ritz()
    if basis.steps == basis.size:
        return float(values.mean())
    return float((values * vectors[0] ** 2).sum())
