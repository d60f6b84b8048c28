"""Measures which experts the tokens of a batch are sent to, and what chance would do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.operation import Operation
from pytest_initcheck.capture.operators import flat_tensors, is_selection
from pytest_initcheck.evidence import ChoiceSnapshot, Node
from pytest_initcheck.ranks.dtensors import is_sharded

Array = np.ndarray[Any, Any]
# So many routers are drawn at random for the same tokens, of which so many are looked at.
_DRAWN, _TOKENS = 64, 512
# Of more, what is picked are rows of a table, and no experts.
_MOST_EXPERTS = 512
# Scores of equal tokens differ by rounding alone, on several ranks; relative to the largest.
_ROUNDING = 2.0**-15


class _Noted(NamedTuple):
    """A choice, with its slots: the counts, those of random routers, and two scores per token."""

    node: Node
    experts: int
    picked: int
    counts: int
    drawn: int
    scores: int


class RouterRecorder:
    """Takes the choices that are made among the outputs of a layer; in the first look alone."""

    def __init__(self, ledger: DeferredRead) -> None:
        self._ledger = ledger
        self._last: tuple[str, Tensor | None] = ("", None)
        self._noted: list[_Noted] = []

    def note(self, node: Node, received: Tensor | None) -> None:
        """What the latest layer received, which may be a router."""
        self._last = node.layer, received

    def see(self, node: Node, call: Operation, out: object) -> None:
        """A choice along the last axis of scores; not where ranks have a share of the scores."""
        results = flat_tensors(out)
        indices = next((tensor for tensor in results if is_selection(tensor)), None)
        scores = call.tensors[0] if call.tensors else None
        if indices is None or scores is None or not scores.is_floating_point():
            return
        experts = scores.shape[-1] if scores.dim() > 1 else 0
        if not 1 < experts <= _MOST_EXPERTS or node.layer != self._last[0] or is_sharded(scores):
            return
        tokens = scores.numel() // experts
        if not tokens or indices.numel() % tokens or _axis(call) not in (-1, scores.dim() - 1):
            return
        picked = indices.numel() // tokens
        received = self._last[1]
        if picked >= experts or received is None or received.numel() % tokens:
            return
        counts = torch.bincount(indices.reshape(-1), minlength=experts)
        rows = received.detach().reshape(tokens, -1)[self._thinned(tokens)]
        drawn, two = _by_chance(rows, experts, picked)
        put = self._ledger.put
        slots = put(counts, "sum"), put(drawn, "sum"), put(two, "list")
        self._noted.append(_Noted(node, experts, picked, *slots))

    def _thinned(self, tokens: int) -> slice:
        across = self._ledger.across
        every = -(-tokens // _TOKENS)
        return slice(None, None, every) if across is None else across.thinned(tokens, _TOKENS)

    def choices(self) -> tuple[ChoiceSnapshot, ...]:
        """The choices in their order, once the ledger has been read."""
        return tuple(map(self._read, self._noted))

    def _read(self, noted: _Noted) -> ChoiceSnapshot:
        counts, scores = self._ledger[noted.counts], self._ledger[noted.scores].reshape(-1, 2)
        drawn = self._ledger[noted.drawn].reshape(_DRAWN, noted.experts)
        tokens = int(counts.sum()) // noted.picked
        return ChoiceSnapshot(
            node=noted.node.index,
            layer=noted.node.layer,
            counts=tuple(int(count) for count in counts),
            picked=noted.picked,
            distinct=_distinct(scores) * tokens // max(len(scores), 1),
            busiest=tuple((drawn.max(1) / drawn.sum(1)).tolist()),
            idle=tuple((drawn == 0).mean(1).tolist()),
        )


def _axis(call: Operation) -> int | None:
    place = 2 if call.operator == "topk" else 1
    axis = call.args[place] if len(call.args) > place else call.options.get("dim")
    return -1 if axis is None and call.operator == "topk" else axis


def _by_chance(rows: Tensor, experts: int, picked: int) -> tuple[Array, Array]:
    """How many tokens each expert gets of routers drawn at random, the same on every rank; and two
    scores of every token, by which those that differ are told."""
    rows = rows.to("cpu", torch.float32).nan_to_num(0.0)
    generator = torch.Generator().manual_seed(0)
    scores = torch.zeros(len(rows), experts)
    counts = torch.zeros(_DRAWN, experts)
    for drawn in counts:
        # One after the other: all at once would be a model of their own.
        scores = rows @ torch.randn(rows.shape[1], experts, generator=generator)
        chosen = scores.topk(picked, -1).indices.flatten()
        drawn.scatter_add_(0, chosen, torch.ones(chosen.shape))
    return counts.flatten().double().numpy(), scores[:, :2].flatten().double().numpy()


def _distinct(scores: Array) -> int:
    """How many rows of two scores differ by more than rounding."""
    if not scores.size:
        return 0
    least = _ROUNDING * np.abs(scores).max()
    rows = scores[scores[:, 0].argsort()]
    near = np.split(rows[:, 1], np.flatnonzero(np.diff(rows[:, 0]) > least) + 1)
    return sum(1 + int((np.diff(np.sort(second)) > least).sum()) for second in near)
