"""LSUV: weights that are scaled by what they make of the batch, layer after layer.

Mishkin, Matas: All you need is a good init (2016). Unlike there, the variance is that between
samples, and biases take the mean back: a signal that all samples share is none. The weights are
drawn before, by another remedy.
"""

from __future__ import annotations

from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.checks.remedy_code import deviation_drawn, is_table
from pytest_initcheck.checks.writer_scales import scale_of
from pytest_initcheck.evidence import Evidence, Parameter
from pytest_initcheck.evidence.gradient_flow import last_layer

_KINDS = frozenset({"Linear", "Conv1d", "Conv2d", "Conv3d"})
# A layer whose weights have this part of what an initialiser gives them loses no gradient.
_WELL = 0.1
_CODE = """\
def unit_variance(layer, args, output):
    axis = 1 if layer.weight.dim() > 2 else output.dim() - 1
    others = [place for place in range(output.dim()) if place != axis]
    mean = output.mean(others, keepdim=True) * (layer.bias is not None)
    scale = (output - output.mean(0)).square().mean().sqrt().clamp(min=1e-30)
    layer.weight.div_(scale)
    if layer.bias is not None:
        layer.bias.sub_(mean.flatten()).div_(scale)
    return (output - mean) / scale
layers = [dict(model.named_modules())[name] for name in {names}]
hooks = [layer.register_forward_hook(unit_variance) for layer in layers]
try:
    with torch.no_grad():
        if isinstance(inputs, dict):
            model(**inputs)
        else:
            model(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,)))
finally:
    for hook in hooks:
        hook.remove()"""


def unit_variance(evidence: Evidence) -> Remedy:
    """Scale the layers but the last so that what each makes of the batch varies by one.

    Empty where their modules cannot do it, or the model is called in a way of the caller's.
    """
    last = last_layer(evidence)
    own = {p.layer: p for p in evidence.parameters.values() if p.name == f"{p.layer}.weight"}
    names = tuple(
        layer
        for layer in evidence.order
        if layer != last and layer in own and _is_plain(own[layer])
    )
    if len(names) < 2 or evidence.loss.is_forward:
        return Remedy()
    return Remedy(_CODE.replace("{names}", repr(names)), "model", names)


def _is_plain(parameter: Parameter) -> bool:
    return parameter.kind in _KINDS and parameter.trainable


def is_drawn_deep(evidence: Evidence) -> bool:
    """Whether drawing all matrices anew would change none by more than chance."""
    known = [
        (scale, deviation_drawn(evidence, parameter))
        for parameter in evidence.parameters.values()
        if parameter.trainable and len(parameter.shape) > 1 and not is_table(evidence, parameter)
        if (scale := scale_of(evidence, parameter.name)) is not None
    ]
    return bool(known) and all(scale.is_near(sigma) for scale, sigma in known)


def is_drawn_well(evidence: Evidence, layer: str) -> bool:
    """Whether the matrices of a layer are about as large as an initialiser makes them, and biases
    are no larger than what comes in."""
    mine = evidence.trainable(layer)
    matrices = [p for p in mine if len(p.shape) > 1]
    scales = [(scale_of(evidence, p.name), deviation_drawn(evidence, p)) for p in matrices]
    biases = [evidence.start.parameters[p.name].stats for p in mine if len(p.shape) < 2]
    is_large = all(scale is not None and scale.sigma > _WELL * sigma for scale, sigma in scales)
    return is_large and all(stats is not None and (stats.rms or 0) <= 1 for stats in biases)
