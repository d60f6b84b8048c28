"""Signals and gradients that vanish or explode with depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from pytest_initcheck.checks.prose import number
from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.checks.remedy_code import deepened, drawn_with, redraw
from pytest_initcheck.checks.rule import WRONG_SCALES, Rule
from pytest_initcheck.checks.unit_variance import is_drawn_deep, is_drawn_well, unit_variance
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import averaging, between, has_normalisation, producers
from pytest_initcheck.evidence.signals import finite_looks
from pytest_initcheck.records import Finding

_DEPTH = "Schoenholz, Gilmer, Ganguli, Sohl-Dickstein: Deep Information Propagation (2017)"
# Gradient descent at the largest stable rate needs about 1/share steps to fit the part of its
# input that differs between samples: more than 1e5 steps are not taken in practice.
SHARE_ERROR = 1e-5
SHARE_WARNING = 1e-4
# The step that suits the steepest layer moves the flattest one by the square of this.
_PROFILE = 1e-5
# Shares are squares, so that the rounding of single precision stays below this.
_ROUNDING = 1e-12
_GROWTH = 1e4
# Between fewer layers with a gradient nothing grows from layer to layer.
_LAYERS = 3
# Shares that the steps multiply by more: they are opening the path.
_OPENED = 10.0
# A layer that still sees this part of the data's differences has lost none to depth.
_SUDDEN = 1e-2
_LOOK = "look at what runs between these two layers: for different samples it makes the same"

BROKEN = frozenset(
    {
        "IC101",
        "IC102",
        "IC104",
        "IC107",
        "IC111",
        "IC301",
        "IC306",
        "IC501",
        "IC502",
        "IC503",
        "IC504",
    }
    | {"IC701"}
)


class Gradients:
    """Judges the profile along depth, never absolute sizes."""

    name = "gradients"
    aspects = frozenset({"gradients"})
    rules: tuple[Rule, ...] = (
        Rule(
            id="IC402",
            title="vanishing signal",
            cause="the differences between samples shrink from layer to layer until the last layer "
            "sees the same input for all of them, and can only learn a constant",
            limit="share of the last layer's input that differs between samples, relative to the "
            f"data's, at least {number(SHARE_ERROR)} (warning {number(SHARE_WARNING)}): its "
            "inverse is the number of steps that gradient descent needs to use that part",
            reference=_DEPTH,
            follows=BROKEN | WRONG_SCALES | {"IC106", "IC303", "IC201"},
            quantity="share of the mean square of the last layer's input that differs between "
            "samples, relative to that of the first",
            exempt="where the steps are opening the path (the share grows more than "
            f"{number(_OPENED)} times), as they do behind zero-initialised parts; what means and "
            "poolings average away; models of one layer; batches of one sample",
            severities=("error", "warning"),
            remedy="draw the weights with the gain of the nonlinearity, such as "
            "torch.nn.init.kaiming_normal_(weight) for ReLU, or add normalisation or residuals",
            # Weights that are too small by a known factor slow training down, and are named so.
            bows=frozenset({"IC106"}),
            surrogate=True,
        ),
        Rule(
            id="IC403",
            title="vanishing gradient",
            cause="each layer multiplies the gradient by a factor below one, so that the first "
            "layers get none that counts",
            limit=f"norm at the first layer over norm at the last at least {number(_PROFILE)}",
            reference=_DEPTH,
            follows=BROKEN | WRONG_SCALES | {"IC303", "IC201", "IC402"},
            quantity="norm of the loss gradient at the output of the first layer over that at the "
            "last, the largest over the looks",
            exempt="what a layer that starts at zero takes away; models of one layer; absolute "
            "sizes, which depend on the scale of the loss",
            remedy="use a nonlinearity with slope near one and its matching initialiser, "
            "or add normalisation or residual connections",
            surrogate=True,
        ),
        Rule(
            id="IC404",
            title="exploding gradient",
            cause="each layer multiplies the gradient by a factor above one, and no normalisation "
            "takes it back",
            limit=f"norm at the first layer over norm at the last at most {number(_GROWTH)}, "
            "without normalisation",
            reference=_DEPTH,
            follows=BROKEN | WRONG_SCALES | {"IC303", "IC703"},
            quantity="norm of the loss gradient at the output of the first layer over that at the "
            "last, the largest over the looks",
            exempt="models with normalisation, which takes the scale of the weights back; fewer "
            f"than {_LAYERS} layers with a gradient",
            remedy="scale the weights by fan-in, such as torch.nn.init.kaiming_normal_(weight)",
            surrogate=True,
        ),
    )

    def run(self, evidence: Evidence) -> Iterator[Finding]:
        yield from self._signal(evidence)
        yield from self._profile(evidence)

    def _signal(self, evidence: Evidence) -> Iterator[Finding]:
        shares = _shares(evidence)
        if not shares:
            return
        start = next(iter(shares.values()))
        last = list(shares)[-1]
        share = shares[last] / start if start else 1.0
        if len(shares) < 2 or share >= SHARE_WARNING or _grows(evidence, last):
            return
        begins = [n for n, value in shares.items() if value / start < SHARE_WARNING]
        maker = _lost_before(evidence, begins[0])
        is_sudden = (
            shares[begins[0]] / start < _ROUNDING and shares.get(maker, 0.0) > _SUDDEN * start
        )
        yield self.rules[0].found(
            self.name,
            "error" if share < SHARE_ERROR else "warning",
            [maker, *begins],
            "share of the last layer's input that differs between samples",
            measured=share,
            limit=SHARE_ERROR if share < SHARE_ERROR else SHARE_WARNING,
            profile={n: value / start for n, value in shares.items()},
            code="" if is_sudden else _redrawn(evidence),
            cause=_sudden(evidence, maker, begins[0]) if is_sudden else "",
            remedy=_LOOK if is_sudden else _drawn(evidence, "add normalisation or residuals"),
        )

    def _profile(self, evidence: Evidence) -> Iterator[Finding]:
        norms = _gradient_norms(evidence)
        names, values = list(norms), list(norms.values())
        if len(norms) < 2 or values[0] <= 0 or values[-1] <= 0:
            return
        # What gets none on a path of its own takes none away from the others.
        norms = {layer: norm for layer, norm in norms.items() if norm > 0}
        along = _along(evidence, norms)
        if along[names[0]] < _PROFILE:
            place = _lost_at_once(evidence, along)
            yield self.rules[1].found(
                self.name,
                "error",
                [n for n, v in along.items() if v < _PROFILE],
                "gradient norm at the first layer over that at the last",
                measured=along[names[0]],
                limit=_PROFILE,
                profile=along,
                cause=place,
                code="" if place else _redrawn(evidence),
                remedy=_LOOK
                if place
                else _drawn(evidence, "add normalisation or residual connections"),
            )
        ratio = values[0] / values[-1]
        if ratio > _GROWTH and len(norms) >= _LAYERS and not has_normalisation(evidence):
            yield self.rules[2].found(
                self.name,
                "error",
                names,
                "gradient norm at the first layer over that at the last",
                measured=ratio,
                limit=_GROWTH,
                profile={n: v / values[-1] for n, v in norms.items()},
                code=redraw(evidence),
                remedy=f"draw the weights with {drawn_with(evidence)}, which scales by fan-in",
            )


def _redrawn(evidence: Evidence) -> Remedy:
    """All weights anew; where they are drawn so already, with the data's help."""
    with_data = unit_variance(evidence) if is_drawn_deep(evidence) else Remedy()
    return with_data or deepened(evidence)


def _lost_at_once(evidence: Evidence, along: Mapping[str, float]) -> str:
    """Where the gradient is lost between two layers whose weights are as they should be."""
    for layer, after in pairwise(along):
        are_well = is_drawn_well(evidence, layer) and is_drawn_well(evidence, after)
        if along[layer] < _PROFILE and along[after] > _SUDDEN and are_well:
            return (
                f"the gradient is lost in one place, from '{after}' back to '{layer}', and not "
                "from layer to layer: what runs between them gives nearly the same whatever comes "
                "in, as a mean over what was normalised along the same axis does"
            )
    return ""


def _drawn(evidence: Evidence, instead: str) -> str:
    """What the code of the remedy does, and what else would help."""
    return f"draw the weights with {drawn_with(evidence, deep=True)}, or {instead}"


def _shares(evidence: Evidence) -> dict[str, float]:
    """Per layer, how much of its input differs between samples; the largest over the looks.

    What means and poolings took away is given back: they average noise, and that is data's.
    """
    found: dict[str, float] = {}
    averaged = averaging(evidence)
    for look in finite_looks(evidence):
        for layer in evidence.order:
            output = look.outputs.get(layer)
            if output is not None and output.variation is not None:
                share = min(output.variation * averaged.get(layer, 1.0), 1.0)
                found[layer] = max(found.get(layer, 0.0), share)
    return {layer: found[layer] for layer in evidence.order if layer in found}


def _lost_before(evidence: Evidence, reader: str) -> str:
    """The layer whose output lost the signal that its reader misses."""
    node = next(n for n in evidence.nodes if n.is_layer and n.layer == reader)
    made = producers(evidence, node)
    return made[0].layer if made else reader


def _sudden(evidence: Evidence, maker: str, reader: str) -> str:
    """Where the differences are lost at once, and not from layer to layer."""
    node = next(n for n in evidence.nodes if n.is_layer and n.layer == reader)
    names = dict.fromkeys(n.operator for n in reversed(between(evidence, node)))
    ran = f" ({', '.join(names)})" if names else ""
    return (
        f"what differs between samples is lost in one place, from '{maker}' to '{reader}'{ran}, "
        "and not from layer to layer: a mask that hides the data, a mean, a softmax or a pooling "
        "over the wrong axis, positions that nothing tells apart, a state that is read after "
        "padding, or dropout of everything"
    )


def _grows(evidence: Evidence, layer: str) -> bool:
    """Whether training is opening the layer: step 0 alone proves nothing, nor does rounding."""
    looks = [look.outputs.get(layer) for look in finite_looks(evidence)]
    known = [look.variation for look in looks if look is not None and look.variation is not None]
    return len(known) > 1 and known[-1] > max(_OPENED * known[0], _ROUNDING)


def _along(evidence: Evidence, norms: dict[str, float]) -> dict[str, float]:
    """The profile relative to the last layer, without what layers that start at zero take away."""
    found, given_back, after = {}, 1.0, list(norms)[-1]
    for layer in reversed(norms):
        if norms[layer] and layer != after and _starts_at_zero(evidence, after):
            given_back *= max(norms[after] / norms[layer], 1.0)
        found[layer] = norms[layer] / norms[list(norms)[-1]] * given_back
        after = layer
    return dict(reversed(found.items()))


def _starts_at_zero(evidence: Evidence, layer: str) -> bool:
    stats = (evidence.start.parameters[p.name].stats for p in evidence.parameters.values()
             if p.layer == layer and p.axis is not None)  # fmt: skip
    return any(s is not None and s.n > 0 and s.zero_share == 1 for s in stats)


def _gradient_norms(evidence: Evidence) -> dict[str, float]:
    """Norm of the loss gradient at each layer's output; the largest over the looks.

    Looks after the steps have blown the loss up say nothing about the start.
    """
    found: dict[str, float] = {}
    calm = 5 * max(abs(evidence.start.loss), evidence.loss.uninformed or 0.0)
    for look in finite_looks(evidence):
        if look.step and abs(look.loss) > calm:
            break
        for layer, output in look.outputs.items():
            gradient = output.gradient
            if gradient is not None and gradient.rms is not None:
                norm = gradient.rms * math.sqrt(gradient.n)
                found[layer] = max(found.get(layer, 0.0), norm)
    return {layer: found[layer] for layer in evidence.order if layer in found}
