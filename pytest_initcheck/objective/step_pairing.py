"""Whether a step of the caller's own compares the outputs of a sample with another's targets."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.objective.changed_targets import TRIALS, changes
from pytest_initcheck.objective.model_calls import outputs_of_calls
from pytest_initcheck.objective.tail import Tail

# The tensor of the batch, the place in it, and the place whose value it gets.
Change = tuple[int, int, int]


def is_mispaired_in_step(program: Program, tail: Tail) -> bool:
    """Whether changing a target moves the gradient of other samples' outputs than its own.

    Asked where the step calls the model once, and of targets with an axis beside that of the
    samples, which may be flattened in another order than the outputs. Up to four passes.
    """
    batch = [tensor for _, tensor in named_tensors(program.batch)]
    asked = [
        place
        for place in sorted(tail.read)
        if place < len(batch) and batch[place].dim() > 1 and len(batch[place]) == tail.samples
    ]
    try:
        return any(_goes_elsewhere(program, place, batch[place]) for place in asked[-1:])
    except Exception:
        # A step may refuse a batch in which a target was changed.
        return False


def _goes_elsewhere(program: Program, place: int, targets: Tensor) -> bool:
    before = _passed(program, None)
    trials = [(place, *pair) for pair in changes(targets)]
    axis = None if before is None else _sample_axis(before[0], len(targets))
    if before is None or axis is None or len(trials) < TRIALS:
        return False
    shifts = []
    for change in trials:
        after = _passed(program, change)
        if after is None or not torch.equal(after[0], before[0]):
            # What the model itself reads moves everything.
            return False
        moved = ~torch.isclose(before[1], after[1], rtol=1e-4, atol=1e-12)
        rows = torch.nonzero(moved.movedim(axis, 0).flatten(1).any(1)).reshape(-1).tolist()
        shifts += [row - change[1] // targets[0].numel() for row in rows if len(rows) == 1]
    # A target that is compared with one output each, but for what is shifted along the samples.
    return sum(map(bool, shifts)) > TRIALS / 2 and len(set(shifts)) > 1


def _sample_axis(output: Tensor, samples: int) -> int | None:
    axes = [axis for axis, size in enumerate(output.shape[:2]) if size == samples]
    return axes[0] if len(axes) == 1 and output.dim() > 2 else None


def _passed(program: Program, change: Change | None) -> tuple[Tensor, Tensor] | None:
    """The model's output in a step, and the loss's gradient to it; None unless it is one tensor."""

    def on_batch(batch: object) -> None:
        if change is not None:
            place, own, other = change
            tensor = list(named_tensors(batch))[place][1]
            flat = tensor.reshape(-1)
            flat[own] = flat[other].clone()
            tensor.copy_(flat.view_as(tensor))

    with preserved(program.model, program.forward), torch.enable_grad():
        with outputs_of_calls(program.model) as made:
            loss = program.evaluate(on_batch).loss
        if len(made) != 1 or not made[0].requires_grad:
            return None
        (gradient,) = torch.autograd.grad(loss, [made[0]])
        return made[0].detach(), gradient
