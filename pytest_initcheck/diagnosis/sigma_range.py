"""Between which σ a layer passes a signal on: found by drawing it and looking."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.replay import Plan
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.signal_stats import SignalRecorder
from pytest_initcheck.capture.trace import Tracer
from pytest_initcheck.checks.depth import SHARE_WARNING
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Observed
from pytest_initcheck.evidence.sigma_range import SigmaRange
from pytest_initcheck.evidence.transmission import OPEN, saturated
from pytest_initcheck.training.normal import draw_normal

_LOWEST, _HIGHEST = 1e-6, 1e6
# Halving the logarithm of the interval so often leaves a factor of 1.01.
_HALVINGS = 12


def sigma_range(program: Program, layer: str) -> SigmaRange:
    """Bisect for the smallest and the largest σ of one layer's weights and biases.

    The numbers are the same draw for every σ, only scaled, so that the slopes fall steadily as σ
    grows; the other layers keep their weights. The model is put back.

    Raises:
        InitcheckError: there is no such layer, or no nonlinearity follows it.
    """
    states = preserved(program.model, program.loss_fn, program.forward)
    with states, torch.inference_mode(False):
        if not program.model.training:
            program.model.train()
        program.materialise()
        measure = _Measure(program, layer)
        high = _limit(measure.is_open, _HIGHEST, _LOWEST)
        low = _limit(measure.is_varied, _LOWEST, _HIGHEST)
    if high == _LOWEST or low == _HIGHEST or (low or 0.0) > (high or math.inf):
        return SigmaRange(layer, math.nan, math.nan)
    return SigmaRange(layer, low, high)


def sigma_range_of_saturated(program: Program, observed: Observed) -> SigmaRange | None:
    """The range of the first layer that is saturated; None where none is, or none can be drawn."""
    found = next(iter(saturated(observed).sites), None)
    if found is None:
        return None
    try:
        return sigma_range(program, found.layer or found.owner)
    except InitcheckError:
        # Not every saturated place is a module that can be drawn.
        return None


def _limit(holds: Callable[[float], bool], far: float, near: float) -> float | None:
    """Where a property that holds from ``near`` on is lost on the way to ``far``.

    None where it holds all the way; ``near`` where it does not even hold there.
    """
    if holds(far):
        return None
    if not holds(near):
        return near
    inside, outside = math.log(near), math.log(far)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if holds(math.exp(middle)):
            inside = middle
        else:
            outside = middle
    return math.exp(inside)


class _Measure:
    """What a layer does at one σ; the two bisections meet at some of them."""

    def __init__(self, program: Program, layer: str) -> None:
        self.program, self.layer = program, layer
        self._plan = Plan()
        self._looks: dict[float, SignalRecorder] = {}

    def is_open(self, sigma: float) -> bool:
        """Whether the median unit passes a quarter of the gradient that it could."""
        recorder = self._look(sigma)
        sites = [s for k, s in recorder.sites(set()).items() if k.layer == self.layer]
        slopes = [float(np.median(s.slope)) for s in sites if s.family != "softmax"]
        if not slopes:
            raise InitcheckError(f"no nonlinearity follows layer {self.layer!r}")
        return min(slopes) >= OPEN

    def is_varied(self, sigma: float) -> bool:
        """Whether the layers that read this one see samples that differ."""
        outputs = self._look(sigma).outputs()
        order = list(outputs)
        behind = order[order.index(self.layer) + 1 :] if self.layer in order else []
        shares = [outputs[name].variation for name in behind[:1]]
        return all(share is None or share >= SHARE_WARNING for share in shares)

    def _look(self, sigma: float) -> SignalRecorder:
        if sigma not in self._looks:
            self._looks[sigma] = self._taken(sigma)
        return self._looks[sigma]

    def _taken(self, sigma: float) -> SignalRecorder:
        model = self.program.model
        draw_normal(model, sigma, [self.layer], torch.Generator().manual_seed(0))
        ledger = DeferredRead()
        recorder = SignalRecorder(ledger, full=False)
        observer = replace(recorder.observer(), is_told=lambda node: node.layer != self.layer)
        recorder.tracer = tracer = Tracer(model, observer, self._plan)
        with torch.enable_grad(), CompositeCalls(tracer), tracer.prepared(), tracer.running():
            self.program.evaluate(tracer.add_data)
        ledger.read()
        return recorder
