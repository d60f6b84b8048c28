"""Initialisers whose gain belongs to another nonlinearity than the one that follows the layer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_initcheck.checks.remedy_code import redraw
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.scale_harm import does_harm
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.construction import Built
from pytest_initcheck.evidence.gradient_flow import is_gate, is_normalised
from pytest_initcheck.evidence.law import Law
from pytest_initcheck.evidence.nonlinearities import KINDS, RECTIFIERS
from pytest_initcheck.evidence.snapshot import NonlinearityKey
from pytest_initcheck.records import Finding, Severity

_HE = math.sqrt(2)
# From the gain of the paper to that of torch.nn.init.calculate_gain; a rectifier that is smooth or
# leaky lets more through than ReLU.
_GAINS = {"tanh": (1.0, 5 / 3), "sigmoid": (1.0, 4.0), "hardsigmoid": (1.0, 6.0),
          "softsign": (1.0, 1.5), "selu": (0.75, 1.0), "relu": (_HE, _HE)}  # fmt: skip
# torch's own layers are drawn with it, and it is copied from there without its reason: uniform
# between ±1/√fan-in.
_TORCH = math.sqrt(5)
# A rounding of slopes: that of 0.01 and that of 0 are not told apart.
_ROUNDING = 1.05


class WrongGain:
    """Holds what the initialiser was told against what the traced program does."""

    name = "gain"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC132",
            title="the gain of another nonlinearity",
            cause="the initialiser scales for another nonlinearity than the one that follows: the "
            "signal shrinks or grows by that factor in every such layer",
            limit="a gain between that of the nonlinearity's paper and that of "
            "torch.nn.init.calculate_gain",
            reference="He et al.: Delving Deep into Rectifiers (2015); Glorot, Bengio: "
            "Understanding the difficulty of training deep feedforward networks (2010); PyTorch "
            "documentation of torch.nn.init.calculate_gain",
            follows=frozenset({"IC101", "IC104", "IC111", "IC131", "IC501"}),
            quantity="gain of the initialiser",
            exempt="defaults of torch's own modules, and the slope that is theirs; layers that no "
            "nonlinearity follows; where a normalisation takes the scale back; gates; a note only "
            "where no nonlinearity was named, such as Xavier's initialisers before ReLU, or where "
            "the gain of the wrong one does, as long as signal and gradient come through",
            severities=("error", "warning", "info"),
            remedy="pass nonlinearity= (or gain=torch.nn.init.calculate_gain(…)) of the function "
            "that follows the layer",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        facts = evidence.construction
        following = {k.layer: k for k, s in evidence.start.sites.items() if s.family != "softmax"}
        wrong: dict[Severity, list[tuple[Built, Law, str]]] = {}
        for built in facts.tensors if facts else ():
            key = following.get(built.layer or built.name)
            law = built.law
            if key is not None and law is not None and _contradicts(evidence, built, law, key):
                is_far = _is_named(law) and not _is_within(law, key.nonlinearity)
                weak: Severity = "warning" if is_far else "info"
                wrong.setdefault(weak, []).append((built, law, key.nonlinearity))
        is_lost = bool(wrong) and does_harm(evidence)
        for weak, found in wrong.items():
            yield self._found(evidence, "error" if is_lost else weak, found)

    def _found(
        self, evidence: Evidence, severity: Severity, wrong: list[tuple[Built, Law, str]]
    ) -> Finding:
        built, law, nonlinearity = wrong[0]
        low, high = _wanted(nonlinearity)
        layers = tuple(dict.fromkeys(b.layer or b.name for b, *_ in wrong))
        return self.rules[0].found(
            self.name,
            severity,
            layers,
            f"gain before {nonlinearity}",
            measured=law.gain,
            limit=low if law.gain < low else high,
            cause=f"{built.name} ({built}) before {nonlinearity}: {self.rules[0].cause}",
            code=redraw(evidence, layers),
        )


def _wanted(nonlinearity: str) -> tuple[float, float]:
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity in ("leaky_relu", "prelu", "rrelu"):
        return 1.0, _HE
    return (1.0, 2.0) if nonlinearity in RECTIFIERS else (0.0, math.inf)


def _is_within(law: Law, nonlinearity: str) -> bool:
    low, high = _wanted(nonlinearity)
    return low / _ROUNDING <= law.gain <= high * _ROUNDING


def _is_named(law: Law) -> bool:
    """Whether the caller chose the nonlinearity: the defaults of both are no choice."""
    return law.nonlinearity not in ("leaky_relu", "linear") if law.is_kaiming else law.gain != 1


def _contradicts(evidence: Evidence, built: Built, law: Law, key: NonlinearityKey) -> bool:
    is_other = {law.nonlinearity, key.nonlinearity} <= _GAINS.keys()
    is_misnamed = is_other and law.nonlinearity != key.nonlinearity
    is_torchs = law.is_kaiming and law.values.get("a") == _TORCH
    return (
        key.nonlinearity in KINDS
        and (is_misnamed or not _is_within(law, key.nonlinearity))
        and not is_torchs
        and not is_normalised(evidence, built.name)
        and not is_gate(evidence, key)
    )
