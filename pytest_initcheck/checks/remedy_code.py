"""Remedies as Python: code over ``model``, ``inputs``, ``targets``, ``batch`` and ``optimizer``.

It is text, so that a reader sees and can paste exactly what `Diagnosis.try_remedy` runs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pytest_initcheck.checks.remedy import Remedy, combined
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.evidence.gradient_flow import last_layer, looked_up, next_layers
from pytest_initcheck.evidence.graph import is_norm
from pytest_initcheck.evidence.nonlinearities import RECTIFIERS

_INIT = "torch.nn.init."


def redraw(
    evidence: Evidence, layers: Iterable[str] | None = None, *, deep: bool = False
) -> Remedy:
    """Draw the weights of some layers (default: all that mix features) anew, biases at zero.

    The initialiser is that of the nonlinearity that follows. ``deep`` takes the gains which keep
    a signal alive through many layers: 1/slope at rest, so 4 for a sigmoid, whose resting output
    of one half its biases then take back.
    """
    chosen = set(evidence.order if layers is None else layers)
    groups: dict[str, list[str]] = {}
    for parameter in evidence.parameters.values():
        if parameter.layer in chosen and parameter.trainable:
            for line in _lines(evidence, parameter, deep):
                groups.setdefault(line, []).append(parameter.name)
    return combined(*(_each(names, line) for line, names in groups.items()))


def _lines(evidence: Evidence, parameter: Parameter, deep: bool) -> list[str]:
    if len(parameter.shape) < 2:
        is_bias = parameter.name.rpartition(".")[2].startswith("bias")
        return [f"{_INIT}zeros_(parameter)"] if is_bias else []
    if is_table(evidence, parameter):
        return [f"{_INIT}normal_(parameter, std={parameter.shape[-1] ** -0.5:.3g})"]
    return [_initialiser(_nonlinearity_after(evidence, parameter.layer), deep)]


def drawn_with(evidence: Evidence, *, deep: bool = False) -> str:
    """The initialisers that `redraw` gives the matrices of all layers, as words of a remedy."""
    lines = (
        _initialiser(_nonlinearity_after(evidence, parameter.layer), deep)
        for parameter in evidence.parameters.values()
        if parameter.trainable and len(parameter.shape) > 1 and not is_table(evidence, parameter)
    )
    counts = Counter(line.replace("parameter", "weight") for line in lines)
    return ", of other layers with ".join(line for line, _ in counts.most_common(2))


def _initialiser(nonlinearity: str, deep: bool) -> str:
    if nonlinearity in RECTIFIERS:
        return f"{_INIT}kaiming_normal_(parameter, nonlinearity='relu')"
    if nonlinearity == "selu":
        return f"{_INIT}kaiming_normal_(parameter, nonlinearity='linear')"
    gain = _gain(nonlinearity, deep)
    return f"{_INIT}xavier_uniform_(parameter{f', gain={gain:.3g}' if gain != 1 else ''})"


def _gain(nonlinearity: str, deep: bool) -> float:
    gains = {"tanh": 5 / 3, "sigmoid": 4.0, "hardsigmoid": 6.0, "softsign": 1.5}
    return gains.get(nonlinearity, 1.0) if deep else 1.0


def deviation_drawn(evidence: Evidence, parameter: Parameter) -> float:
    """The standard deviation that `deepened` gives a matrix, by the fans of torch.nn.init."""
    outputs, inputs, *kernel = parameter.shape
    size = math.prod(kernel)
    nonlinearity = _nonlinearity_after(evidence, parameter.layer)
    if nonlinearity in RECTIFIERS or nonlinearity == "selu":
        return math.sqrt((2 if nonlinearity in RECTIFIERS else 1) / (inputs * size))
    return _gain(nonlinearity, deep=True) * math.sqrt(2 / ((inputs + outputs) * size))


def _nonlinearity_after(evidence: Evidence, layer: str) -> str:
    """The nonlinearity that follows a layer, "" where none does."""
    sites = evidence.start.sites.items()
    return next(
        (k.nonlinearity for k, s in sites if k.layer == layer and s.family != "softmax"), ""
    )


def restarted(evidence: Evidence) -> Remedy:
    """Draw all weights anew, those of the last layer a tenth as large."""
    last = [p.name for p in evidence.trainable(last_layer(evidence)) if len(p.shape) > 1]
    return combined(redraw(evidence), _scaled(last, 0.1))


def is_table(evidence: Evidence, parameter: Parameter) -> bool:
    """Whether rows of the parameter are looked up, as those of an embedding."""
    return parameter.name in looked_up(evidence)


def deepened(evidence: Evidence) -> Remedy:
    """Draw all weights anew so that a signal survives the depth, behind sigmoids too."""
    sigmoids = {n.index for n in evidence.nodes if n.nonlinearity == "sigmoid"}
    behind = (
        node.layer
        for start in evidence.nodes
        if start.index in sigmoids
        for node in next_layers(evidence, start)
    )
    with_bias = {p.layer for p in evidence.parameters.values() if p.name.endswith(".bias")}
    centre = [layer for layer in dict.fromkeys(behind) if layer in with_bias]
    return combined(redraw(evidence, deep=True), _centred(centre) if centre else Remedy())


def _centred(layers: Sequence[str]) -> Remedy:
    """Biases that take back the resting output of the sigmoids before these layers, one half."""
    code = (
        f"for name in {_listed(layers)}:\n"
        "    layer = dict(model.named_modules())[name]\n"
        "    with torch.no_grad():\n"
        "        layer.bias.copy_(-layer.weight.flatten(1).sum(1) / 2)"
    )
    return Remedy(code, "model", tuple(layers))


def drawn_like(parameters: dict[str, float]) -> Remedy:
    """Draw each of the parameters anew from N(0, σ²), with the σ that it has."""
    by_sigma: dict[str, list[str]] = {}
    for name, sigma in parameters.items():
        by_sigma.setdefault(f"{sigma:.3g}", []).append(name)
    return combined(
        *(_each(names, f"{_INIT}normal_(parameter, std={s})") for s, names in by_sigma.items())
    )


def drawn_small(names: Sequence[str]) -> Remedy:
    """Draw parameters so that the products of what they make are small."""
    return _each(names, f"{_INIT}xavier_uniform_(parameter, gain=0.25)")


def filled(names: Sequence[str], value: float) -> Remedy:
    """Set parameters to one value."""
    return _each(names, f"{_INIT}constant_(parameter, {value:g})")


def _scaled(names: Sequence[str], factor: float) -> Remedy:
    """Multiply parameters by a factor."""
    return _each(names, f"parameter.mul_({factor:g})", "torch.no_grad()")


def scaled_by(factors: Mapping[str, float]) -> Remedy:
    """Multiply each of the parameters by a factor of its own."""
    by_factor: dict[str, list[str]] = {}
    for name, factor in factors.items():
        by_factor.setdefault(f"{factor:.4g}", []).append(name)
    return combined(*(_scaled(names, float(factor)) for factor, names in by_factor.items()))


def standardised(evidence: Evidence, side: str) -> Remedy:
    """What a layer is fed, or the "targets", at mean zero and unit variance.

    Empty where code cannot reach them.
    """
    place = evidence.batch_paths.get(side)
    if place is None:
        return Remedy()
    code = f"{place} = ({place} - {place}.mean()) / {place}.std()"
    if place.keys:
        change = f"{place}.sub_({place}.mean()).div_({place}.std())"
        code = f"with torch.no_grad():\n    {change}"
    return Remedy(code, place.root)


def changed_setting(name: str, change: str) -> Remedy:
    """Change a setting in every group of the optimiser: "= 0.01", "/= 10"."""
    return Remedy(
        f"for group in optimizer.param_groups:\n    group[{name!r}] {change}", "optimizer"
    )


def fresh_norms(evidence: Evidence, names: Iterable[str]) -> Remedy:
    """Gains of one and biases of zero for the normalisations among the parameters."""
    mine = set(names)
    norms = [n.params for n in evidence.nodes if is_norm(n) and mine & set(n.params)]
    found = dict.fromkeys(name for params in norms for name in params)
    gains = [name for name in found if not name.endswith("bias")]
    return combined(filled(gains, 1), filled([n for n in found if n.endswith("bias")], 0))


def _each(names: Sequence[str], line: str, context: str = "") -> Remedy:
    if not names:
        return Remedy()
    # Scripted models have no get_parameter.
    head = f"for name in {_listed(names)}:\n    parameter = dict(model.named_parameters())[name]\n"
    body = f"    with {context}:\n        {line}" if context else f"    {line}"
    return Remedy(head + body, "model", tuple(names))


def _listed(names: Sequence[str]) -> str:
    return "(" + ", ".join(map(repr, names)) + ("," if len(names) == 1 else "") + ")"
