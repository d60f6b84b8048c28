"""What was taken for the loss where the user did not choose, and what was left out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pytest_initcheck.capture.default_loss import loss_parts, scalar_in
from pytest_initcheck.capture.program import TARGET_NAMES, Program, is_torch_loss
from pytest_initcheck.capture.snapshot import Taken
from pytest_initcheck.capture.tree import main_tensor, tensors_of

# Their states and weights are by-products that no loss is made of.
_BY_PRODUCTS = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Choices:
    """What was taken, as sentences, and the parts that were left out."""

    told: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def meta(self) -> dict[str, str]:
        """The entries of a record that say so."""
        return said(self.told, self.left_out)


def said(
    told: Iterable[str], left_out: Iterable[str], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What was taken and left out as settings of a record, after what these ``known`` ones say."""
    first = [known["taken"]] if known and "taken" in known else []
    lines = {"taken": "; ".join([*told, *first]), "left out": ", ".join(left_out)}
    return {key: text for key, text in lines.items() if text}


def choices(program: Program, looked: Taken) -> Choices:
    """What was taken of an evaluation for which the user passed no loss, or one of torch's."""
    result = looked.result
    told = list(_of_targets(program))
    if program.forward is not None or (program.loss_fn is None and _brings_loss(program, result)):
        return Choices((*told, *_of_loss(result.returned)))
    is_free = program.loss_fn is None or is_torch_loss(program.loss_fn)
    if not is_free or isinstance(result.output, Tensor) or result.output is None:
        return Choices(tuple(told))
    taken, main = "", main_tensor(result.output)
    left: list[str] = []
    for place, (name, tensor) in enumerate(_named(result.output)):
        if tensor is main and not taken:
            taken = name
        elif _is_trained(tensor) and not _is_by_product(program, looked, place):
            left.append(name)
    if taken == "output['logits']" or hasattr(result.output, "logits"):
        left = []
    return Choices((*told, f"output: {taken} for the loss"), tuple(left))


def _of_targets(program: Program) -> Iterator[str]:
    if program.forward is not None or not isinstance(program.batch, Mapping):
        return
    name = next((name for name in TARGET_NAMES if name in program.batch), None)
    if name is not None:
        where = "handed to the model" if program.gets_targets else "for the loss"
        yield f"targets: batch[{name!r}], {where}"


def _brings_loss(program: Program, result: Any) -> bool:
    output = result.output
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    is_inside = program.gets_targets or result.targets is None
    found = scalar_in(output) if is_inside else None
    return isinstance(own, Tensor) or bool(loss_parts(output)) or found is not None


def _of_loss(returned: Any) -> Iterator[str]:
    """What of the value that a model or a step returned is the loss."""
    if parts := loss_parts(returned):
        yield f"loss: the sum of {', '.join(parts)}"
    elif isinstance(returned, Mapping) and "loss" in returned:
        yield f"loss: 'loss' of what was returned ({', '.join(map(str, returned))})"
    elif isinstance(returned, (tuple, list)):
        yield f"loss: the scalar among the {len(returned)} that were returned"


def _named(output: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of an output, in the order of its leaves, by an expression that reaches it."""
    if isinstance(output, Tensor):
        yield "output", output
        return
    parts: list[tuple[str, Any]] = []
    if isinstance(output, Mapping):
        parts = [(f"[{key!r}]", value) for key, value in output.items()]
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        parts = [(f".{n}", v) for n, v in zip(output._fields, output, strict=True)]
    elif isinstance(output, (tuple, list)):
        parts = [(f"[{place}]", value) for place, value in enumerate(output)]
    elif hasattr(output, "__dict__"):
        parts = [(f".{name}", value) for name, value in vars(output).items()]
    for key, value in parts:
        for name, tensor in _named(value) if tensors_of(value) else ():
            yield f"output{key}{name.removeprefix('output')}", tensor


def _is_trained(tensor: Tensor) -> bool:
    return tensor.requires_grad and tensor.is_floating_point()


def _is_by_product(program: Program, looked: Taken, place: int) -> bool:
    makers = looked.makers[place] if place < len(looked.makers) else frozenset[int]()
    owners = {node.owner for node in looked.nodes if node.index in makers}
    modules = dict(program.model.named_modules())
    return bool(owners) and all(isinstance(modules.get(o), _BY_PRODUCTS) for o in owners)
