"""Data whose scale the initialisers are not made for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.depth import SHARE_ERROR, SHARE_WARNING
from pytest_initcheck.checks.prose import fraction, number
from pytest_initcheck.checks.remedy_code import standardised
from pytest_initcheck.checks.rule import Rule, Suspicion
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import has_normalisation
from pytest_initcheck.records import Finding, Severity, TensorStats

# The curvature in the first layer's weights grows with the square of its inputs: at 300 the
# stable learning rate is 1e5 times smaller than at 1. Below one, what a step on the weights
# changes in the output falls with the square: 1e4 times at 1/100.
_ERROR = 300.0
_WARNING = 30.0
_SMALL_ERROR = 1 / 100
_SMALL_WARNING = 1 / 30
_TARGETS = 100.0
# Outputs of this part of the targets' size come from a model that scales them itself.
_OWN_SCALE = 0.1
# With another fault to explain, inputs beyond this are its likelier cause than the weights.
_BLAMED = 10.0
_SOURCE = "LeCun, Bottou, Orr, Müller: Efficient BackProp (1998), section 4.3"


class InputScale:
    """Initialisers assume inputs with a mean square near one; normalised inputs are exempt."""

    name = "input_scale"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC701",
            title="input scale",
            cause="the inputs are far from unit scale, which the initialisers assume: the data, "
            "not the weights, drives the first layer",
            limit=f"root mean square at most {number(_ERROR)} ({number(_WARNING)} warning; "
            f"{number(_BLAMED)} where it explains saturation, a high first loss or steps that "
            f"overshoot); without normalisation largest value at least {fraction(_SMALL_ERROR)} "
            f"({fraction(_SMALL_WARNING)} warning), and a share of at least {number(SHARE_ERROR)} "
            f"({number(SHARE_WARNING)} warning) of the mean square that differs between samples",
            reference=_SOURCE,
            follows=frozenset({"IC104", "IC111", "IC501"}),
            quantity="root mean square and largest absolute value of what the first layer gets",
            exempt="token ids; data that the model itself scales; small inputs where the model "
            "normalises, alike ones whose differences that brings back; batches whose samples "
            "are all equal",
            severities=("error", "warning"),
            remedy="standardise the inputs: (x - x.mean()) / x.std()",
            surrogate=True,
        ),
        Rule(
            id="IC702",
            title="target scale",
            cause="the targets are far from unit scale: the output layer first has to grow by that "
            "factor, and the first loss is its square",
            limit=f"root mean square of regression targets at most {number(_TARGETS)}",
            reference=_SOURCE,
            follows=frozenset({"IC104", "IC111", "IC501", "IC701", "IC803"}),
            quantity="root mean square of the floating targets that the loss reads",
            exempt="classes; a model whose outputs have the scale of the targets; a loss that no "
            "constant prediction can be given to",
            confirms=True,
            remedy="standardise the targets: (y - y.mean()) / y.std()",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding | Suspicion]:
        inputs = evidence.start.inputs
        if inputs is not None and inputs.rms:
            large = self._large(evidence)
            found = large if isinstance(large, Finding) else None
            found = found or self._small(evidence, inputs) or self._alike(evidence)
            if found is not None or large is not None:
                yield found or large  # type: ignore[misc]
        yield from self._targets(evidence)

    def _targets(self, evidence: Evidence) -> Iterator[Finding]:
        rms, outputs = _target_rms(evidence), evidence.start.result
        is_scaled = outputs is not None and (outputs.rms or 0.0) > _OWN_SCALE * rms
        # A loss that ranks its targets, or only counts them, is none of their size.
        is_far = evidence.loss.initial > _OWN_SCALE * rms
        if rms > _TARGETS and evidence.loss.uninformed is not None and not is_scaled and is_far:
            yield self.rules[1].found(
                self.name,
                "error",
                (),
                "root mean square of the targets",
                measured=rms,
                limit=_TARGETS,
                code=standardised(evidence, "targets"),
            )

    def _large(self, evidence: Evidence) -> Finding | Suspicion | None:
        # Where the model itself enlarges the data, they are not at fault.
        given = evidence.input_scale[0] if evidence.input_scale else math.inf
        sizes = {
            layer: min(fed.rms or 0.0, given) for layer, fed in evidence.start.layer_inputs.items()
        }
        layer = max(sizes, key=lambda name: sizes[name])
        rms = sizes[layer]
        if rms <= _BLAMED:
            return None
        is_error, is_doubt = rms > _ERROR, rms <= _WARNING
        limit = _BLAMED if is_doubt else _ERROR if is_error else _WARNING
        found = self._scale(evidence, "error" if is_error else "warning", rms, limit, layer=layer)
        return Suspicion(found) if is_doubt else found

    def _small(self, evidence: Evidence, inputs: TensorStats) -> Finding | None:
        largest = max(abs(inputs.min or 0.0), abs(inputs.max or 0.0))
        largest = max(largest, evidence.input_scale[1] if evidence.input_scale else 0.0)
        if not 0 < largest < _SMALL_WARNING or has_normalisation(evidence):
            return None
        is_error = largest < _SMALL_ERROR
        limit = _SMALL_ERROR if is_error else _SMALL_WARNING
        return self._scale(
            evidence, "error" if is_error else "warning", largest, limit, "largest |input|"
        )

    def _alike(self, evidence: Evidence) -> Finding | None:
        known = (evidence.start.outputs.get(layer) for layer in evidence.order)
        shares = [o.variation for o in known if o is not None and o.variation is not None]
        if not shares or not 0 < shares[0] < SHARE_WARNING:
            return None
        # A normalisation takes away what all samples have in common, where nothing else varies.
        is_normed = has_normalisation(evidence)
        share, whose = (shares[-1], "last layer's input's") if is_normed else (shares[0], "inputs'")
        if share >= SHARE_WARNING:
            return None
        is_error = share < SHARE_ERROR
        return self._scale(
            evidence,
            "error" if is_error else "warning",
            share,
            SHARE_ERROR if is_error else SHARE_WARNING,
            f"share of the {whose} mean square that differs between samples",
        )

    def _scale(
        self,
        evidence: Evidence,
        severity: Severity,
        measured: float,
        limit: float,
        quantity: str = "root mean square of the inputs",
        layer: str = "",
    ) -> Finding:
        return self.rules[0].found(
            self.name,
            severity,
            [layer] if layer else evidence.order[:1],
            quantity,
            measured=measured,
            limit=limit,
            code=standardised(evidence, layer or next(iter(evidence.start.layer_inputs))),
        )


def _target_rms(evidence: Evidence) -> float:
    """Root mean square of floating targets, those that a caller's ``forward`` compares with too."""
    targets, facts = evidence.start.targets, evidence.objective
    if targets is not None:
        return (targets.rms or 0.0) if targets.dtype.startswith(("float", "bfloat")) else 0.0
    is_read = facts is not None and evidence.loss.is_forward and facts.targets == "numbers"
    return (facts.target_rms or 0.0) if facts is not None and is_read else 0.0
