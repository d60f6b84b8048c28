"""What the layer of a parameter is called."""

from __future__ import annotations

import re

ROOT = "(model)"
# What the layers of torch call their parameters: "weight", "bias", "weight_ih_l0", "bias_g".
_OF_A_LAYER = re.compile(r"(?:in_proj_)?(?:weight|bias)(?:_\w+)?")


def layer_of(parameter: str) -> str:
    """The module path of a parameter.

    Where the root owns it, `ROOT` if it is called as those of a layer are (the model then is that
    layer), else the parameter itself.
    """
    plain = parameter.split(".parametrizations.")[0]
    owner = plain if plain != parameter else parameter.rpartition(".")[0]
    return owner or (ROOT if _OF_A_LAYER.fullmatch(parameter) else parameter)
