"""From what user code raised to the shortest thing to pass instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.tree import tensors_of

_FORWARD = "inputs that it accepts as batch=(inputs, targets), or forward=…"
_LOSS = "a loss that takes (output, targets) as the model gives them, or forward=…"
_MOST = 4


def seen(value: Any) -> str:
    """What a value is, as a message names it: "float32 (8, 6)", "a tuple of float32 (8, 3), …"."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        fields = ", ".join(map(repr, list(value)[:8]))
        return f"a {type(value).__name__}{f' of {fields}' if fields else ''}"
    if isinstance(value, (tuple, list)) and tensors_of(value):
        more = ", …" * (len(value) > _MOST)
        return f"a {type(value).__name__} of {', '.join(map(seen, value[:_MOST]))}{more}"
    return "None" if value is None else f"a {type(value).__name__}"


def for_forward(error: Exception, model: nn.Module, inputs: Any, targets: Any) -> str:
    """What to pass where the forward of a model raised."""
    text = str(error)
    if _is_swapped(inputs, targets):
        return (
            f"batch=(inputs, targets): the first item is {seen(inputs)} and the second "
            f"{seen(targets)}, as if they were swapped"
        )
    if _holds_texts(inputs):
        return "numbers, no texts: batch=tokenizer(texts, return_tensors='pt', padding=True)"
    for pattern, answer in _FORWARD_ANSWERS:
        if found := re.search(pattern, text):
            return answer(found, model, inputs) or _FORWARD
    return _FORWARD


def for_loss(error: Exception, output: Any, targets: Any) -> str:
    """What to pass where the loss raised."""
    if not isinstance(output, Tensor) and tensors_of(output):
        place = f"[{next(iter(output))!r}]" if isinstance(output, Mapping) else "[0]"
        return (
            f"loss_fn=lambda output, targets: loss(output{place}, targets): the model returns "
            f"{seen(output)}"
        )
    text = str(error)
    if targets is None and "missing" in text and "positional" in text:
        return "batch=(inputs, targets): the batch holds no targets, and the loss takes them"
    if isinstance(targets, Tensor) and not targets.is_floating_point() and "Float" in text:
        return "floating targets: batch=(inputs, targets.float())"
    if re.search(r"expected scalar type Long|not implemented for '(Float|Double)'", text):
        return "class indices: batch=(inputs, targets.long())"
    return _LOSS


def for_function(error: Exception, batch: Any) -> str:
    """What to pass where a ``forward`` raised."""
    if re.search(r"takes 1 positional argument but 2|takes from 1", str(error)):
        return "forward=lambda model, batch: …, a function of both"
    return "a batch that it accepts"


def for_backward(error: Exception) -> str:
    """What to pass where the backward pass raised."""
    if "second time" in str(error):
        return (
            "a forward or a model that only evaluates: return the loss before loss.backward(), and "
            "check a whole step with pytest_initcheck.check_step"
        )
    return "a model and a loss that autograd can differentiate on this batch"


def _holds_texts(inputs: Any) -> bool:
    values = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    return any(isinstance(value, str) for value in values)


def _is_swapped(inputs: Any, targets: Any) -> bool:
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        return False
    are_labels = not inputs.is_floating_point() and inputs.dim() <= 1
    return are_labels and targets.is_floating_point() and targets.dim() > 1


def _same_type(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    name = str(own).removeprefix("torch.")
    return f"inputs of the model's own type, inputs.to(torch.{name}): they are {_types(inputs)}"


def _types(inputs: Any) -> str:
    found = dict.fromkeys(str(t.dtype).removeprefix("torch.") for t in tensors_of(inputs))
    return ", ".join(found) or "no tensors"


def _token_ids(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    return f"token ids as whole numbers, inputs.long(): they are {_types(inputs)}"


def _range(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    rows = [(n, m.num_embeddings) for n, m in model.named_modules() if isinstance(m, nn.Embedding)]
    ids = [t for t in tensors_of(inputs) if not t.is_floating_point() and t.numel()]
    if not rows or not ids:
        return ""
    largest = max(int(tensor.max()) for tensor in ids)
    name, least = min(rows, key=lambda row: row[1])
    return f"ids below the rows of the embeddings: they reach {largest}, and {name!r} has {least}"


def _channels(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    shape = [int(size) for size in found["shape"].split(",")]
    if shape[-1] == int(found["wanted"]) and len(shape) == 4:
        return "images with the channels first, inputs.permute(0, 3, 1, 2)"
    return f"images of {found['wanted']} channels along axis 1: they are {tuple(shape)}"


def _width(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    given, wanted = found["given"], found["wanted"]
    return f"inputs of which the layer gets {wanted} values per sample: it gets {given}"


def _more(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    return "at least 2 samples, better 32: the model normalises over the batch"


def _missing(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    names = found["names"].replace("'", "")
    if isinstance(inputs, Mapping):
        return f"{names} among the fields of the batch, which has {', '.join(map(str, inputs))}"
    return f"{names} too: batch=((…, {names}), targets), or by name in a mapping"


def _unexpected(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    known = ", ".join(list(inputs)) if isinstance(inputs, Mapping) else ""
    return f"a mapping without {found['name']}: its fields ({known}) are the forward's arguments"


def _one_of_them(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    if not isinstance(inputs, tuple) or len(inputs) != 1 or not isinstance(inputs[0], tuple):
        return ""
    count = len(inputs[0])
    return (
        f"batch=(inputs[0], targets): the forward takes one input, and the batch hands it {count}"
    )


def _too_many(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    count = len(inputs) if isinstance(inputs, (tuple, list)) else 1
    return f"as many inputs as the forward takes: the batch hands it {count}"


def _device(found: re.Match[str], model: nn.Module, inputs: Any) -> str:
    return "all on one device: model.to(device), which moves only parameters and buffers"


Answer = Callable[[re.Match[str], nn.Module, Any], str]
_FORWARD_ANSWERS: tuple[tuple[str, Answer], ...] = (
    (r"on the same device|[Ee]xpected all tensors|Tensor on device", _device),
    (r"argument #1 'indices' to have|tensors used as indices", _token_ids),
    (r"index out of range in self", _range),
    (r"expected input\[(?P<shape>[\d, ]+)\] to have (?P<wanted>\d+) channels", _channels),
    (r"shapes cannot be multiplied \(\d+x(?P<given>\d+) and (?P<wanted>\d+)x\d+\)", _width),
    (r"Expected more than 1 value per channel", _more),
    (r"missing \d+ required positional arguments?: (?P<names>.*)", _missing),
    (r"unexpected keyword argument '(?P<name>\w+)'", _unexpected),
    (r"positional arguments? but \d+ were given", _too_many),
    (r"must be Tensor, not tuple|'tuple' object has no attribute", _one_of_them),
    (r"same dtype|expected scalar type|should be the same|not implemented for", _same_type),
)
