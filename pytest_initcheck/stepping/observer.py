"""Watches a step while it runs, and writes down what it does in order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.stepping.arguments import tensors_held
from pytest_initcheck.stepping.handmade import cut_of
from pytest_initcheck.stepping.observations import Clip, GradientUse, StepCall
from pytest_initcheck.stepping.track import Track, size, total

OWN = "its own tensor"


class StepObserver:
    """What the taps tell goes to the current call; see `pytest_initcheck.stepping.taps`."""

    def __init__(self, model: nn.Module, optimizers: Iterable[Any]) -> None:
        self.model = model
        self.names = {id(module): name for name, module in model.named_modules()}
        self.tracks: dict[int, Track] = {}
        self.optimizers: dict[int, Any] = {}
        self.pulls: dict[int, list[float]] = {}
        self.rates: dict[int, float] = {}
        self.calls: list[StepCall] = []
        self.depth = 0
        self.is_clipping = False
        self.pending: list[tuple[list[Tensor], Clip]] = []
        for name, parameter in model.named_parameters():
            self.tracks[id(parameter)] = Track(name=name, parameter=parameter)
        for optimizer in optimizers:
            self.meet(optimizer)

    def meet(self, optimizer: Any) -> list[Track]:
        """Take up an optimiser; returns the tracks of tensors that were not known."""
        self.optimizers.setdefault(id(optimizer), optimizer)
        strange = [t for t in tensors_held(optimizer) if id(t) not in self.tracks]
        for tensor in strange:
            self.tracks[id(tensor)] = Track(name=OWN, parameter=tensor)
        return [self.tracks[id(tensor)] for tensor in dict.fromkeys(strange)]

    @property
    def call(self) -> StepCall:
        """The call that runs."""
        return self.calls[-1]

    def begin(self) -> None:
        """Another call begins."""
        self.calls.append(StepCall(starts_in_training=self.model.training))
        self.depth, self.pending = 0, []
        self.is_clipping = False

    def end(self, loss: float | None) -> None:
        """The call has come to its end."""
        self.call.loss = loss
        # Compiled code may run without a module being called.
        if not self.call.modes and self.call.backwards:
            self.call.modes = {self.call.starts_in_training, self.model.training}

    def coming(self, track: Track, gradient: Tensor) -> None:
        """A backward is about to add to a gradient."""
        self.call.backwards += 1
        self.call.ends_with_backward = True
        with torch.no_grad():
            track.coming(gradient)
        self.call.is_overflowing |= not math.isfinite(track.own)

    def added(self, track: Track) -> None:
        """A backward has added to a gradient."""
        with torch.no_grad():
            track.added()
        self.call.is_discarding |= track.was_discarded

    def forward(self, module: nn.Module) -> None:
        """A module of the model runs; only what gradients come from says how it is trained."""
        name = self.names.get(id(module))
        if name is None or not torch.is_grad_enabled():
            return
        self.call.modes.add(self.model.training)
        (self.call.lively if module.training else self.call.still).add(name)

    @torch.no_grad()
    def use(self, optimizer: Any, *, in_closure: bool = False, is_skipped: bool = False) -> None:
        """An optimiser takes its gradients."""
        tracks = self._tracks(optimizer)
        call = self.call
        self._confirm_clips()
        use = GradientUse(
            key=id(optimizer),
            owner=type(optimizer).__name__,
            in_closure=in_closure,
            had_backward=call.backwards > 0,
        )
        use.is_skipped = is_skipped
        use.cleared = tuple(t.name for t in tracks if t.is_fresh and t.norm == 0 < t.own)
        for track in tracks:
            norm = track.norm
            if norm == 0:
                continue
            use.norms[track.name] = norm
            if track.is_stale:
                use.leftover[track.name] = track.share
        use.nonfinite = tuple(n for n, norm in use.norms.items() if not math.isfinite(norm))
        if self.depth <= 1 and not in_closure:
            use.repeated = tuple(track.name for track in tracks if track.is_repeated)
        if not use.leftover:
            use.cut, use.raw, use.used = cut_of(tracks)
        for track in tracks:
            track.use()
        call.uses.append(use)
        call.ends_with_backward = False

    @torch.no_grad()
    def stepped(self, optimizer: Any) -> None:
        """An optimiser has stepped."""
        for track in self._tracks(optimizer):
            track.used()
        if self.depth > 0:
            return
        for group in optimizer.param_groups:
            rate = float(group.get("lr", 0.0))
            for tensor in group["params"]:
                self.rates[id(tensor)] = max(self.rates.get(id(tensor), 0.0), abs(rate))
                pulls = self.pulls.setdefault(id(tensor), [])
                pulls.append(rate * float(group.get("weight_decay") or 0.0))

    def _tracks(self, optimizer: Any) -> list[Track]:
        unique = {id(tensor): tensor for tensor in tensors_held(optimizer)}
        return [self.tracks[key] for key in unique if key in self.tracks]

    @torch.no_grad()
    def clipped(self, tensors: list[Tensor], before: float) -> None:
        """A clipping function of torch has run; ``before`` is the norm that it found."""
        after = total(size(tensor.grad) for tensor in tensors)
        is_scaled = self.call.is_scaled and not self.call.is_unscaled
        self.pending.append((tensors, Clip(before, after, is_scaled)))
        self.rebase(tensors)

    def _confirm_clips(self) -> None:
        """Only what is used as it was clipped counts: factors of single samples are averaged."""
        for tensors, clip in self.pending:
            now = total(size(tensor.grad) for tensor in tensors)
            scale = self.call.scales[-1] if clip.is_scaled and self.call.is_unscaled else 1.0
            if math.isclose(now * scale, clip.after, rel_tol=1e-2):
                self.call.clips.append(clip)
        self.pending = []

    @torch.no_grad()
    def rebase(self, tensors: Iterable[Tensor]) -> None:
        """What gradients are now counts as what backward has brought."""
        for tensor in tensors:
            if id(tensor) in self.tracks:
                self.tracks[id(tensor)].rebase()

    def scaled(self, scale: float) -> None:
        """A loss has been multiplied by a scaler."""
        self.call.is_scaled = True
        self.call.scales.append(scale)

    def unscaled(self, optimizer: Any) -> None:
        """A scaler has divided the gradients by its scale."""
        self.call.is_unscaled = True
        self.rebase(tensors_held(optimizer))

    def skip(self, optimizer: Any) -> None:
        """A scaler has not let an optimiser step."""
        self.call.is_unscaled = True
        self.use(optimizer, is_skipped=True)
