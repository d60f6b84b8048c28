"""Which outputs a target is compared with, and which targets stand among the inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.program import Program, main_tensor, tensors_of
from pytest_initcheck.objective.changed_targets import TRIALS, changes
from pytest_initcheck.objective.copying import is_in_place
from pytest_initcheck.objective.step_pairing import is_mispaired_in_step
from pytest_initcheck.objective.tail import Tail, name_on_tape

# A loss of sets takes the nearest target, or the cheapest order.
_CHOICES = frozenset({"min", "amin", "minimum", "argmin", "sort", "topk"})
_PARTS = frozenset({"__getitem__", "chunk", "split", "unbind", "narrow", "select", "index_select"})


def is_mispaired(program: Program, tail: Tail) -> bool:
    """Whether changing a target moves the gradient elsewhere than at the target's own output.

    Asked where outputs have the targets' axes and at most one more, that of the classes, and the
    loss takes output and targets, without choosing the best of several ways to pair them. In a
    step of the caller's own the samples alone are told apart.
    """
    output, targets = tail.result.output, tail.result.targets
    main = main_tensor(output) if output is not None else None
    if program.forward is not None:
        chooses = any(call.name in _CHOICES for call in tail.calls)
        return not chooses and is_mispaired_in_step(program, tail)
    if not isinstance(main, Tensor) or main is not output:
        return False
    if not isinstance(targets, Tensor) or not main.is_floating_point() or targets.dim() == 0:
        return False
    axes = _class_axes(main, targets)
    if not axes or targets.shape[0] < 2 or any(call.name in _CHOICES for call in tail.calls):
        return False
    try:
        return all(_moves_elsewhere(program, main.detach(), targets, axis) for axis in axes)
    except Exception:
        # A loss may refuse a batch in which a target was changed.
        return False


def _class_axes(output: Tensor, targets: Tensor) -> list[int]:
    """The axes of the output that the targets may lack, output.dim() where they lack none."""
    if output.shape == targets.shape:
        return [output.dim()]
    axes = {1, output.dim() - 1} if output.dim() > 1 else set[int]()
    shapes = {axis: output.shape[:axis] + output.shape[axis + 1 :] for axis in axes}
    return [axis for axis, rest in sorted(shapes.items()) if rest == targets.shape]


def _moves_elsewhere(program: Program, output: Tensor, targets: Tensor, axis: int) -> bool:
    before = _gradient(program, output, targets)
    flat, found = targets.reshape(-1), []
    trials = list(changes(targets))
    if len(trials) < TRIALS:
        return False
    for place, other in trials:
        changed = flat.clone()
        changed[place] = flat[other]
        after = _gradient(program, output, changed.reshape(targets.shape))
        moved = ~torch.isclose(before, after, rtol=1e-4, atol=1e-12)
        by_place = moved.any(axis) if axis < output.dim() else moved
        places = torch.nonzero(by_place.reshape(-1)).reshape(-1) - place
        found.append(tuple(places.tolist()))
    # Axes that were mixed up leave some places, as those of a diagonal, where they are.
    elsewhere = [moves for moves in found if moves and 0 not in moves]
    # A loss that shifts the targets of a sequence does so alike in many places, and in all.
    is_shift = len(set(elsewhere)) < len(elsewhere) and not any(0 in moves for moves in found)
    return len(elsewhere) > len(found) / 2 and not is_shift


def _gradient(program: Program, output: Tensor, targets: Tensor) -> Tensor:
    leaf = output.clone().requires_grad_()
    with torch.enable_grad():
        loss = program.loss_of(leaf, targets)
        (gradient,) = torch.autograd.grad(loss, [leaf], allow_unused=False)
    found: Tensor = gradient
    return found


def unread_targets(program: Program, tail: Tail) -> tuple[str, ...]:
    """The tensors of the targets that the loss does not read, where it reads others.

    Asked where there are several outputs, or parts of one are read; beside the targets of a
    single one others may stand for what is measured, such as labels beside a teacher's scores.
    """
    batch = program.batch
    is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    if program.forward is not None or not is_pair or not _has_parts(tail):
        return ()
    targets = [
        (name, t) for name, t in named_tensors(batch) if name.startswith("targets") and t.numel()
    ]
    if len(targets) < 2:
        return ()
    known = [name for name, _ in named_tensors(batch)]
    unread = tuple(name for name, _ in targets if known.index(name) not in tail.read)
    return unread if len(unread) < len(targets) else ()


def _has_parts(tail: Tail) -> bool:
    outputs = set(map(name_on_tape, tail.output))
    cuts = (call for call in tail.calls if call.name in _PARTS and call.inputs)
    is_many = len(tensors_of(tail.result.output)) > 1
    return is_many or any(name_on_tape(call.inputs[0]) in outputs for call in cuts)


def has_equal_inputs(program: Program) -> bool:
    """Whether all inputs are the same for every sample."""
    if program.forward is not None:
        return False
    rows = [
        t for name, t in named_tensors(program.batch) if not name.startswith("targets") and t.dim()
    ]
    samples = {t.shape[0] for t in rows if t.layout == torch.strided and not t.is_nested}
    if len(samples) != 1 or len(rows) == 0 or samples == {1}:
        return False
    return all(t.layout == torch.strided and bool((t == t[:1]).all()) for t in rows)


def copied_input(program: Program, tail: Tail) -> str:
    """The input, or its column, that equals what the loss compares the outputs with.

    Sequences of whole numbers are compared position by position as the loss gets them, behind any
    shift, and where no code lies between a place and its output; of numbers only a column among
    others, since an autoencoder is asked for all it gets.
    """
    for side, origins in zip(tail.data, tail.origins, strict=True):
        if side.numel() < 8 or bool((side == side.reshape(-1)[0]).all()):
            continue
        for name, tensor in _inputs(program, origins):
            if _is_copy(tensor, side):
                return name if is_in_place(program, name) else ""
            column = _column(tensor, side)
            if column is not None:
                return f"column {column} of {name}"
    return ""


def is_whole_copy(program: Program, tail: Tail) -> bool:
    """Whether the loss compares the outputs with all of the only input, as autoencoders do."""
    pairs = [
        (side, tensor)
        for side, origins in zip(tail.data, tail.origins, strict=True)
        for _, tensor in _inputs(program, origins)
        if tensor.is_floating_point()
    ]
    return len(pairs) == 1 and all(
        side.shape == tensor.shape and bool((side == tensor).all()) for side, tensor in pairs
    )


def _inputs(program: Program, origins: frozenset[int]) -> list[tuple[str, Tensor]]:
    """The tensors of the inputs but those that the targets were made of."""
    return [
        (name, tensor)
        for place, (name, tensor) in enumerate(named_tensors(program.batch))
        if not name.startswith("targets")
        and tensor.numel() > 1
        and not tensor.is_nested
        and place not in origins
    ]


def _is_copy(tensor: Tensor, side: Tensor) -> bool:
    if tensor.is_floating_point() or side.is_floating_point() or tensor.dim() != 2:
        return False
    if tensor.numel() != side.numel():
        return False
    return bool((tensor.reshape(-1) == side.reshape(-1)).all())


def _column(tensor: Tensor, side: Tensor) -> int | None:
    rows = tensor.shape[0]
    if tensor.dim() != 2 or tensor.shape[1] < 2 or side.numel() != rows:
        return None
    if not tensor.is_floating_point():
        return None
    wanted = side.reshape(rows, 1).to(tensor.dtype)
    is_equal = torch.isclose(tensor, wanted, rtol=1e-6, atol=1e-7).all(0)
    found = torch.nonzero(is_equal).reshape(-1)
    return int(found[0]) if len(found) else None
