"""Which layer a parameter belongs to."""

from __future__ import annotations


def layer_of(parameter: str) -> str:
    """The module path of a parameter; the parameter itself where the root owns it."""
    plain = parameter.split(".parametrizations.")[0]
    return plain if plain != parameter else parameter.rpartition(".")[0] or parameter
