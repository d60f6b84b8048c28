"""The logits of attention: products of data with data, up to the softmax that takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pytest_initcheck.capture.operators import storage_key
from pytest_initcheck.sizes.contraction import MOST_ROWS, every

Arguments = tuple[Any, ...]
# A product is told from others by its weight and its operator: a tied embedding is two.
Key = tuple[str, str]
# What leaves logits what they are; masks and offsets are no part of what the scale is about.
KEEPING = frozenset(
    {"mul", "mul_", "div", "div_", "add", "add_", "sub", "sub_", "masked_fill", "masked_fill_",
     "where", "tanh", "clone", "_to_copy"}
)  # fmt: skip
SOFTMAXES = frozenset({"_softmax", "_safe_softmax"})


@dataclass
class Scores:
    """Some rows of a product; ``after`` is the constant that the program multiplies it with.

    ``behind`` is the product with a weight that was the last one before it, ``size`` how many
    numbers a query has.
    """

    behind: Key | None
    made: Tensor
    size: int
    after: float = 1.0


class Logits:
    """Follows what is made of products of data with data; ``found`` are those that are logits."""

    def __init__(self) -> None:
        self.found: dict[str, Scores] = {}
        self._known: dict[int, Scores] = {}
        # Held so that no storage is used again during the pass.
        self._held: list[Tensor] = []

    def see(self, behind: Key | None, left: Tensor, out: Tensor) -> None:
        """A product of data with data has just been made, of which ``left`` is the first."""
        self._hold(out, Scores(behind, _rows(out), left.shape[-1]))

    def follow(self, args: Arguments, out: Any, factor: float | None) -> None:
        """An operator of `KEEPING`; ``factor`` is the constant that it multiplies with."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        known = next((p for t in tensors if (p := self._known.get(storage_key(t)))), None)
        if known is not None and isinstance(out, Tensor):
            known.after *= 1.0 if factor is None else factor
            self._hold(out, known)

    def take(self, tensor: Tensor) -> None:
        """A softmax of that tensor."""
        known = self._known.get(storage_key(tensor))
        if known is not None:
            self._note(known)

    def fuse(self, behind: Key | None, args: Arguments, scale: float | None) -> None:
        """Attention in one operator, whose first arguments are queries and keys.

        ``scale`` is what it multiplies the logits with; None for 1/√ of the size of a head.
        """
        query, key = args[0].detach(), args[1].detach()
        if key.dim() > 2 and key.shape[1] != query.shape[1]:
            key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        rows = query[..., every(query.shape[-2], MOST_ROWS), :]
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        self._note(Scores(behind, rows @ key.transpose(-1, -2), query.shape[-1], factor))

    def _note(self, scores: Scores) -> None:
        owner = "" if scores.behind is None else _owner_of(scores.behind[0])
        place = sum(known.startswith(f"{owner} (logits".strip()) for known in self.found)
        number = f" {place + 1}" if place else ""
        self.found[f"{owner} (logits{number})".strip()] = scores

    def _hold(self, out: Tensor, scores: Scores) -> None:
        self._held.append(out)
        self._known[storage_key(out)] = scores


def _rows(out: Tensor) -> Tensor:
    made = out.detach()
    return (made if made.dim() < 2 else made[..., every(made.shape[-2], MOST_ROWS), :]).clone()


def _owner_of(parameter: str) -> str:
    """The module that attention belongs to, by the weight that was used last before it."""
    layer = parameter.removesuffix(".weight")
    return layer.rpartition(".")[0]
