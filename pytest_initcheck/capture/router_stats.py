"""Measures which experts the tokens of a batch are sent to, and what chance would do."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.operation import Operation
from pytest_initcheck.capture.operators import flat_tensors, is_selection
from pytest_initcheck.evidence import ChoiceSnapshot, Node

# So many routers are drawn at random for the same tokens, of which so many are looked at.
_DRAWN, _TOKENS = 64, 512
# Of more, what is picked are rows of a table, and no experts.
_MOST_EXPERTS = 512


class RouterRecorder:
    """Takes the choices that are made among the outputs of a layer; in the first look alone."""

    def __init__(self, ledger: DeferredRead) -> None:
        self._ledger = ledger
        self._last: tuple[str, Tensor | None] = ("", None)
        self._choices: list[tuple[Node, int, int, int]] = []

    def note(self, node: Node, received: Tensor | None) -> None:
        """What the latest layer received, which may be a router."""
        self._last = node.layer, received

    def see(self, node: Node, call: Operation, out: object) -> None:
        """A choice along the last axis of scores."""
        results = flat_tensors(out)
        indices = next((tensor for tensor in results if is_selection(tensor)), None)
        scores = call.tensors[0] if call.tensors else None
        if indices is None or scores is None or not scores.is_floating_point():
            return
        experts = scores.shape[-1] if scores.dim() > 1 else 0
        if not 1 < experts <= _MOST_EXPERTS or node.layer != self._last[0]:
            return
        tokens = scores.numel() // experts
        if not tokens or indices.numel() % tokens or _axis(call) not in (-1, scores.dim() - 1):
            return
        picked = indices.numel() // tokens
        received = self._last[1]
        if picked >= experts or received is None or received.numel() % tokens:
            return
        counts = torch.bincount(indices.reshape(-1), minlength=experts)
        slot = self._ledger.put(torch.cat([counts, _chance(received, tokens, experts, picked)]))
        self._choices.append((node, slot, experts, picked))

    def choices(self) -> tuple[ChoiceSnapshot, ...]:
        """The choices in their order, once the ledger has been read."""
        return tuple(self._read(*one) for one in self._choices)

    def _read(self, node: Node, slot: int, experts: int, picked: int) -> ChoiceSnapshot:
        row = self._ledger[slot].reshape(-1)
        distinct, *drawn = row[experts:].tolist()
        half = len(drawn) // 2
        return ChoiceSnapshot(
            node=node.index,
            layer=node.layer,
            counts=tuple(int(count) for count in row[:experts]),
            picked=picked,
            distinct=int(distinct),
            busiest=tuple(drawn[:half]),
            idle=tuple(drawn[half:]),
        )


def _axis(call: Operation) -> int | None:
    place = 2 if call.operator == "topk" else 1
    axis = call.args[place] if len(call.args) > place else call.options.get("dim")
    return -1 if axis is None and call.operator == "topk" else axis


def _chance(received: Tensor, tokens: int, experts: int, picked: int) -> Tensor:
    """How many tokens differ; and of routers drawn at random, for the same tokens, the share that
    the busiest expert gets, and the share of the experts that gets nothing."""
    rows = received.detach().reshape(tokens, -1)
    rows = rows[:: -(-tokens // _TOKENS)].to("cpu", torch.float32).nan_to_num(0.0)
    generator = torch.Generator().manual_seed(0)
    scores = torch.zeros(len(rows), experts)
    counts = torch.zeros(_DRAWN, experts)
    for drawn in counts:
        # One after the other: all at once would be a model of their own.
        scores = rows @ torch.randn(rows.shape[1], experts, generator=generator)
        chosen = scores.topk(picked, -1).indices.flatten()
        drawn.scatter_add_(0, chosen, torch.ones(chosen.shape))
    distinct = scores[:, 0].unique().numel() * tokens // len(rows)
    shares = counts / counts.sum(1, keepdim=True)
    idle = (counts == 0).float().mean(1)
    return torch.cat([torch.tensor([float(distinct)]), shares.amax(1), idle]).to(received.device)
