"""The trainable parameters of a model as one flat real vector, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Coordinates:
    """An order of the trainable parameters; tied ones stand once, complex ones as two reals."""

    names: tuple[str, ...]
    parameters: tuple[Tensor, ...]

    @property
    def size(self) -> int:
        """The number of real coordinates."""
        return sum(_width(p) for p in self.parameters)

    @property
    def count(self) -> int:
        """The number of parameters; a complex one counts once."""
        return sum(p.numel() for p in self.parameters)

    @property
    def eps(self) -> float:
        """The unit roundoff of the least exact parameter."""
        return max(torch.finfo(p.dtype).eps for p in self.parameters)

    @property
    def storage(self) -> torch.dtype:
        """What a vector is kept in: float64 for double precision, else float32."""
        return torch.float64 if self.eps < torch.finfo(torch.float32).eps else torch.float32

    @property
    def device(self) -> torch.device:
        """Where vectors live: with the first parameter, if that device has float64."""
        device = self.parameters[0].device
        return torch.device("cpu") if device.type == "mps" else device

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """One tensor per parameter as a flat float64 vector."""
        return torch.cat([_real(t).to(self.device, torch.float64) for t in tensors])

    def split(self, vector: Tensor) -> list[Tensor]:
        """A flat vector as one tensor per parameter, of its shape, type and device."""
        parts = vector.split([_width(p) for p in self.parameters])
        return [_like(part, p) for part, p in zip(parts, self.parameters, strict=True)]

    def shares(self, vector: Tensor) -> dict[str, float]:
        """The share of each parameter in the square of a unit vector, largest first."""
        parts = vector.square().split([_width(p) for p in self.parameters])
        sums = torch.stack([part.sum() for part in parts]).tolist()
        pairs = zip(self.names, sums, strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))


def coordinates(model: nn.Module) -> Coordinates:
    """The trainable parameters of a model; some parameter is trainable."""
    found = [(n, p) for n, p in model.named_parameters() if p.requires_grad and p.numel()]
    return Coordinates(tuple(n for n, _ in found), tuple(p for _, p in found))


def _width(parameter: Tensor) -> int:
    return parameter.numel() * (2 if parameter.is_complex() else 1)


def _real(tensor: Tensor) -> Tensor:
    dense = tensor.detach()
    dense = dense.to_dense() if dense.layout != torch.strided else dense
    # A gradient may be a lazily conjugated view, which has no real view of its own.
    dense = torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
    return dense.reshape(-1)


def _like(part: Tensor, parameter: Tensor) -> Tensor:
    if not parameter.is_complex():
        return part.to(parameter.device, parameter.dtype).view(parameter.shape)
    real = part.to(parameter.device, parameter.real.dtype).view(*parameter.shape, 2)
    return torch.view_as_complex(real.contiguous())
