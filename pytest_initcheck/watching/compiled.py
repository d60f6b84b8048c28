"""Models whose forward runs as compiled code, which no hook and no mode sees inside of."""

from __future__ import annotations

import torch
from torch import nn


def plain_model(model: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` was given; any other is itself."""
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


def is_compiled(model: nn.Module) -> bool:
    """Whether the model or a part of it is compiled or, as a whole, scripted.

    To follow such a pass means to run it operator by operator, which gives other bits.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return True
    return any(
        plain_model(module) is not module or getattr(module, "_compiled_call_impl", None)
        for module in model.modules()
    )
