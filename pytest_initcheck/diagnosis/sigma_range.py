"""Between which σ a layer passes a signal on: found by drawing it and looking."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from pytest_initcheck.capture.composite_calls import Quiet
from pytest_initcheck.capture.deferred_read import Ledger
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.signal_stats import SignalRecorder
from pytest_initcheck.capture.trace import Tracer
from pytest_initcheck.checks.depth import SHARE_WARNING
from pytest_initcheck.checks.saturation import OPEN
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding
from pytest_initcheck.training.normal import draw_normal

_LOWEST, _HIGHEST = 1e-6, 1e6
# Halving the logarithm of the interval so often leaves a factor of 1.01.
_HALVINGS = 12


@dataclass(frozen=True)
class SigmaRange:
    """The σ of N(0, σ²) with which a layer neither saturates nor loses its signal on this data.

    Within ``low`` and ``high`` half of the units pass at least a quarter of the gradient that
    they could, and at least 1e-4 of what the layer hands on differs between samples. A side is
    None where no limit was met between 1e-6 and 1e6; both are NaN where no σ will do.
    """

    layer: str
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is not None and math.isnan(self.low):
            return f"no σ keeps layer {self.layer!r} unsaturated on this data"
        low = "0" if self.low is None else f"{self.low:.3g}"
        high = "any size" if self.high is None else f"{self.high:.3g}"
        return f"layer {self.layer!r} stays unsaturated for σ from {low} to {high} on this data"


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


def with_sigma(findings: Iterable[Finding], program: Program) -> list[Finding]:
    """The findings; those of saturated layers say with which σ the first would not be."""
    return [_measured(f, program) if f.id == "IC303" else f for f in findings]


def _measured(finding: Finding, program: Program) -> Finding:
    try:
        found = sigma_range(program, finding.layer)
    except InitcheckError:
        # Not every saturated place is a module that can be drawn.
        return finding
    return replace(finding, remedy=f"{finding.remedy}; measured: {found}")


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


@dataclass(frozen=True)
class _Measure:
    program: Program
    layer: str

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
        model = self.program.model
        draw_normal(model, sigma, [self.layer], torch.Generator().manual_seed(0))
        ledger = Ledger()
        recorder = SignalRecorder(ledger)
        recorder.tracer = tracer = Tracer(model, recorder.observer())
        with torch.enable_grad(), Quiet(tracer), tracer.prepared(), tracer.running():
            self.program.evaluate(tracer.add_data)
        ledger.read()
        return recorder
