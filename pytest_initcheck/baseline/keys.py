"""How a line of a layer is called: "layer: role", with the last colon ending the layer's name."""

from __future__ import annotations

import re


def join(layer: str, role: str, parameter: str | None = None) -> str:
    """ "fc1: weights.bias" for a parameter's line, "fc1: activations" for another."""
    if parameter is not None:
        role += "." + re.sub("[%:]", lambda m: f"%{ord(m[0]):02X}", parameter)
    return f"{layer}: {role}"


def split(key: str) -> tuple[str, str, str | None] | None:
    """Layer, role and parameter that ``join`` was given; None where the key has no role."""
    layer, colon, role = key.rpartition(": ")
    if not colon:
        return None
    role, dot, parameter = role.partition(".")
    if not dot:
        return layer, role, None
    return layer, role, parameter.replace("%3A", ":").replace("%25", "%")
