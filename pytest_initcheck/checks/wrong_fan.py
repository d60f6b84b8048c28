"""Initialisers that counted another fan than the layer has, as on a weight stored transposed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy_code import drawn_like
from pytest_initcheck.checks.rule import Rule
from pytest_initcheck.checks.scale_harm import does_harm
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.evidence.construction import STANDARD_ERRORS, Built, ConstructionFacts
from pytest_initcheck.evidence.gradient_flow import is_normalised
from pytest_initcheck.evidence.law import Fans
from pytest_initcheck.records import Finding, Severity

# What the gain of ReLU is to that of no nonlinearity, as variances: initialisers that are both
# called right differ by as much.
_FACTOR = 2.0


# Standard deviations times the root of a fan, as initialisers written by hand have them: LeCun's,
# He's, and torch's own for its layers.
_GAINS = (1.0, math.sqrt(2), 1 / math.sqrt(3))
# Too few values to tell one standard deviation from another.
_FEW = 256


@dataclass(frozen=True, kw_only=True)
class _Wrong:
    """A weight of a layer, the standard deviation that was ``drawn``, the one that its own fan
    would have given, and what was done in words."""

    name: str
    layer: str
    drawn: float
    std: float
    told: str

    @property
    def factor(self) -> float:
        return self.drawn / self.std


class WrongFan:
    """Holds what the initialiser counted against how the layer uses the weight."""

    name = "fan_shape"
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC131",
            title="a fan of another shape",
            cause="the initialiser took the fan from another shape than the layer reads the weight "
            "in, as on a weight stored (in, out), a transposed or reshaped view, a stack of "
            "weights, or a transposed convolution",
            limit="a variance within a factor of "
            f"{number(_FACTOR)} of what the layer's own fan gives, the gain of ReLU squared",
            reference="PyTorch documentation: torch.nn.init.kaiming_uniform_ (fans are those of "
            "x @ w.T; for x @ w pass the transposed weight); He et al.: Delving Deep into "
            "Rectifiers (2015), section 2.2",
            follows=frozenset({"IC101", "IC104", "IC111", "IC501"}),
            quantity="standard deviation that was drawn over the one that the layer's fan gives",
            exempt="defaults of torch's own modules; weights whose standard deviation is another "
            "by the end; where a normalisation takes the scale back; fan-out that was asked for, "
            "or computed by hand for a convolution; groups (IC106); a standard deviation that "
            "weights of other fans have as well",
            severities=("error", "warning"),
            remedy="hand the initialiser the weight as (out, in): "
            "torch.nn.init.kaiming_uniform_(weight.T), and each matrix of a stack by itself",
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        found = [w for w in _all(evidence) if not is_normalised(evidence, w.name)]
        severity: Severity = "error" if found and does_harm(evidence) else "warning"
        yield from self._found(found, severity)

    def judge(self, facts: ConstructionFacts) -> Iterator[Finding]:
        """What the ledger alone shows, of torch's own layers that were handed on as a view."""
        wrong = [_by_law(b, b.fans) for b in facts.tensors if b.law and b.law.shape != b.shape]
        yield from self._found([w for w in wrong if w], "warning")

    def _found(self, wrong: list[_Wrong], severity: Severity) -> Iterator[Finding]:
        if wrong:
            worst = max(wrong, key=lambda w: abs(math.log(w.factor)))
            yield self.rules[0].found(
                self.name,
                severity,
                tuple(dict.fromkeys(w.layer for w in wrong)),
                self.rules[0].quantity,
                measured=worst.factor,
                limit=math.sqrt(_FACTOR) if worst.factor > 1 else 1 / math.sqrt(_FACTOR),
                cause=f"{worst.told}: {self.rules[0].cause}",
                code=drawn_like({w.name: w.std for w in wrong}),
            )


def _all(evidence: Evidence) -> Iterator[_Wrong]:
    facts = evidence.construction
    known = {built.name: built for built in facts.tensors} if facts else {}
    for parameter in evidence.parameters.values():
        built = known.get(parameter.name)
        if parameter.groups > 1 or _is_factor(evidence, parameter):
            continue
        fans = (built and built.fans) or _traced(parameter)
        if built is not None and built.law is not None:
            wrong = _by_law(built, fans)
        else:
            wrong = _by_values(evidence, parameter, built, fans)
        if wrong:
            yield wrong


def _is_factor(evidence: Evidence, parameter: Parameter) -> bool:
    """Whether the weight that is read is made of this matrix and others."""
    read = {
        name
        for n in evidence.nodes
        if n.is_layer and parameter.name in n.params
        for name in n.params
    }
    known = evidence.parameters
    return sum(len(known[name].shape) > 1 for name in read if name in known) > 1


def _is_far(drawn: float, std: float) -> bool:
    return max(drawn / std, std / drawn) ** 2 >= _FACTOR


def _by_law(built: Built, fans: Fans | None) -> _Wrong | None:
    """What the initialiser says that it counted."""
    law = built.law
    if law is None or fans is None:
        return None
    std = law.gain / math.sqrt(max(law.fan(fans), 1))
    told = f"{built.name} ({built}), counted as {law.shape}"
    layer = built.layer or built.name
    wrong = _Wrong(name=built.name, layer=layer, drawn=law.std, std=std, told=told)
    return wrong if _is_far(law.std, std) else None


def _by_values(
    evidence: Evidence, parameter: Parameter, built: Built | None, fans: Fans | None
) -> _Wrong | None:
    """A standard deviation that is the other fan's, and no one's of its own.

    Fan-out on purpose cannot be told from it: without a ledger, and a line that says so, only of
    weights stored (in, out), of which the initialisers of torch take the wrong one. Of kernels it
    is a convention (He et al.: "either suffices"), and they are not stored otherwise.
    """
    if built is not None and built.fans and len(parameter.shape) > 2 and parameter.axis == 0:
        return None
    stats = evidence.start.parameters[parameter.name].stats
    is_asked = not built.effective[0].is_default if built and built.effective else True
    is_odd = built is not None or parameter.axis != 0
    if (
        fans is None
        or stats is None
        or not stats.std
        or stats.n < _FEW
        or not (is_asked and is_odd)
    ):
        return None
    reach = STANDARD_ERRORS / math.sqrt(2 * stats.n)
    other = _gain(stats.std * math.sqrt(fans.fan_out), reach)
    if not other or _gain(stats.std * math.sqrt(fans.fan_in), reach):
        return None
    std = other / math.sqrt(fans.fan_in)
    # By the fans, as the values may lie on either side of the limit by chance.
    is_far = max(fans.fan_out / fans.fan_in, fans.fan_in / fans.fan_out) > _FACTOR
    if not is_far or _is_shared(evidence, parameter, stats.std, reach):
        return None
    how = f" ({built})" if built else ""
    told = f"{parameter.name}{how} of shape {parameter.shape}: {number(stats.std)} is "
    told += f"{number(other)}/√{fans.fan_out:g}, and a unit reads {fans.fan_in:g} values"
    return _Wrong(name=parameter.name, layer=parameter.layer, drawn=stats.std, std=std, told=told)


def _gain(value: float, reach: float) -> float:
    """The gain that a value is, within chance; 0 for none."""
    return next((gain for gain in _GAINS if abs(value / gain - 1) < reach), 0.0)


def _is_shared(evidence: Evidence, parameter: Parameter, std: float, reach: float) -> bool:
    """Whether a weight with another fan-out has the same σ: then no fan was asked for."""
    mine = _traced(parameter)
    for other in evidence.parameters.values():
        stats, theirs = evidence.start.parameters[other.name].stats, _traced(other)
        if mine and theirs and theirs.fan_out != mine.fan_out and stats and stats.std:
            close = reach + STANDARD_ERRORS / math.sqrt(2 * stats.n)
            if abs(stats.std / std - 1) < close:
                return True
    return False


def _traced(parameter: Parameter) -> Fans | None:
    """The fans of a plain matrix, or of a stack of such."""
    if parameter.axis is None or not 2 <= len(parameter.shape) <= 3:
        return None
    if len(parameter.shape) == 3 and parameter.axis >= 0:
        return None
    return Fans(parameter.fan_in, parameter.shape[parameter.axis])
