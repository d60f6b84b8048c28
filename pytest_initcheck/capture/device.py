"""Which device is meant by a name."""

from __future__ import annotations

from typing import Any

import torch

from pytest_initcheck.errors import InitcheckError


def described(device: torch.device) -> dict[str, str]:
    """The kind of a device, and its capability where it has one, as settings of a record."""
    if device.type != "cuda":
        return {"device": device.type}
    major, minor = torch.cuda.get_device_capability(device)
    return {"device": device.type, "capability": f"sm_{major}{minor}"}


def resolve_device(device: Any, advice: str = "pass 'cpu'") -> torch.device:
    """The device of a name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        InitcheckError: the name is unknown, or this machine has no such device; ``advice`` says
            what to pass.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0]
        text = f"device {device!r} cannot be used here: {reason}; {advice}"
        raise InitcheckError(text) from None
    return found
