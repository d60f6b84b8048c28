"""Questions about a trace that several checks ask."""

from __future__ import annotations

from collections.abc import Callable

from pytest_initcheck.evidence import Evidence, Look, Parameter, SiteKey

_NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")


def has_normalisation(evidence: Evidence) -> bool:
    """Whether any normalisation over data runs in the model."""
    return any(norm in node.operator for node in evidence.nodes for norm in _NORMS)


def used_parameters(evidence: Evidence) -> set[str]:
    """Names of the parameters that took part in the forward pass on at least one value."""
    return {
        name
        for node in evidence.nodes
        for name in node.params
        if all(size > 0 for size in node.shape)
    }


def largest_gradient(evidence: Evidence, parameter: Parameter) -> float | None:
    """The largest |gradient| of a parameter over all looks; None where none ever came."""
    found = []
    for look in evidence.looks:
        gradient = look.parameters[parameter.name].gradient
        if gradient is not None:
            found.append(_largest(gradient.min, gradient.max, gradient.nonfinite))
    return max(found, default=None)


def _largest(low: float | None, high: float | None, nonfinite: int) -> float:
    return float("inf") if nonfinite else max(abs(low or 0.0), abs(high or 0.0))


def silent_layers(evidence: Evidence) -> list[str]:
    """Layers that ran, with trainable weights of which none got a gradient in any look."""
    used = used_parameters(evidence)
    found = []
    for layer in evidence.order:
        own = [p for p in evidence.trainable(layer) if p.name in used]
        gradients = [largest_gradient(evidence, p) for p in own]
        if own and all(g == 0 for g in gradients):
            found.append(layer)
    return found


def is_gate(evidence: Evidence, key: SiteKey) -> bool:
    """Whether the values of a nonlinearity multiply other data, as gates do."""
    mine = {
        n.index
        for n in evidence.nodes
        if (n.owner, n.nonlinearity, n.layer) == (key.owner, key.nonlinearity, key.layer)
    }
    for node in evidence.nodes:
        is_product = node.operator.rstrip("_") in ("mul", "lerp", "addcmul")
        if is_product and mine & set(node.inputs) and len(node.inputs) > 1:
            return True
    return False


def depth_of(evidence: Evidence) -> Callable[[str], int]:
    """A sort key for layer names: the order in which the layers ran, others last."""
    order = {layer: i for i, layer in enumerate(evidence.order)}
    return lambda layer: order.get(layer, len(order))


def finite_looks(evidence: Evidence) -> list[Look]:
    """The looks up to the first whose loss is not finite."""
    found = []
    for look in evidence.looks:
        if look.loss != look.loss or look.loss in (float("inf"), float("-inf")):
            break
        found.append(look)
    return found
