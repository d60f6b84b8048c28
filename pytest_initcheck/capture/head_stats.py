"""Measures attention head by head: how much choice it leaves, and how large its scores are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.nonlinearity import MASKED
from pytest_initcheck.evidence import HeadsSnapshot, Node

# Of more scores than this, those of the first samples are measured.
_MOST = 1 << 20
_COUNTS = ("num_heads", "n_heads", "n_head", "num_attention_heads", "nhead", "heads")


class HeadRecorder:
    """Takes the softmaxes of one look; of a model whose batch has ``samples`` rows."""

    def __init__(self, model: nn.Module, samples: int, ledger: DeferredRead) -> None:
        self._ledger, self._samples = ledger, samples
        self._modules = dict(model.named_modules())
        self._slots: dict[tuple[str, str], list[int]] = {}

    def see(self, node: Node, scores: Tensor, shares: Tensor) -> None:
        """A softmax over the last axis of (…, heads, queries, keys), or of heads among the rows."""
        if node.axis != -1 or node.width < 2 or scores.layout != torch.strided:
            return
        if scores.is_nested or scores.dim() < 3 or not scores.numel():
            return
        scores, shares = self._by_head(node, scores.detach()), self._by_head(node, shares.detach())
        self._slots.setdefault((node.owner, node.layer), []).append(
            self._ledger.put(_measured(scores, shares), "heads")
        )

    def heads(self) -> dict[tuple[str, str], HeadsSnapshot]:
        """The heads by owner and layer, once the ledger has been read; several calls as one."""
        return {key: self._pooled(slots) for key, slots in self._slots.items()}

    def _pooled(self, slots: list[int]) -> HeadsSnapshot:
        calls = [self._ledger[slot].reshape(3, -1) for slot in slots]
        alike = [call for call in calls if call.shape == calls[0].shape]
        return HeadsSnapshot(
            passed=sum(call[0] for call in alike) / len(alike),
            entropy=sum(call[1] for call in alike) / len(alike),
            largest=max((call[2] for call in alike), key=lambda row: float(row.max())),
        )

    def _by_head(self, node: Node, values: Tensor) -> Tensor:
        """(samples, heads, queries, keys), of the first samples where there are many."""
        if values.dim() == 3:
            heads = self._count(node.owner, values.shape[0])
            values = values.unflatten(0, (values.shape[0] // heads, heads))
        values = values.flatten(0, -4)
        return values[: max(1, _MOST * values.shape[0] // values.numel())]

    def _count(self, owner: str, rows: int) -> int:
        module = self._modules.get(owner)
        told = (getattr(module, name, None) for name in _COUNTS)
        count = next((n for n in told if isinstance(n, int) and n > 0 and rows % n == 0), None)
        if count is None:
            count = rows // self._samples if self._samples and rows % self._samples == 0 else 1
        return max(count, 1)


def _measured(scores: Tensor, shares: Tensor) -> Tensor:
    """Per head 1 − Σp² relative to equal shares, entropy relative to theirs, the largest score.

    Masked keys are no choice, and a query with one choice is none.
    """
    p = shares.to(torch.float32)
    count = (scores > scores.amax(-1, keepdim=True) - MASKED).sum(-1).clamp(min=1)
    is_choice = (count > 1).to(p.dtype)
    equal = (1 - 1 / count).clamp(min=0.5)
    passed = (1 - p.square().sum(-1)) / equal * is_choice
    entropy = torch.special.entr(p).sum(-1) / count.clamp(min=2).log() * is_choice
    total = is_choice.sum((0, 2)).clamp(min=1)
    # Without any choice nothing is lost.
    free = (is_choice.sum((0, 2)) == 0).to(p.dtype)
    rows = [passed.sum((0, 2)) / total + free, entropy.sum((0, 2)) / total + free]
    largest = scores.to(torch.float32).amax((0, 2, 3)).nan_to_num(math.inf, math.inf, -math.inf)
    return torch.stack([*rows, largest])
