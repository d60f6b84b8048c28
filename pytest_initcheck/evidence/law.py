"""What an initialiser of ``torch.nn.init`` was told: gain, mode, and the shape that it counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Their standard deviation follows from a gain and a fan.
SCALED = frozenset(
    {"kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"}
)  # fmt: skip


@dataclass(frozen=True)
class Fans:
    """How many values a unit reads, and by how many units a value is read."""

    fan_in: float
    fan_out: float

    @classmethod
    def of(cls, shape: Sequence[int]) -> Fans:
        """As torch.nn.init counts them: (out, in, *kernel), whatever the tensor is used for."""
        kernel = math.prod(shape[2:])
        return cls(shape[1] * kernel, shape[0] * kernel)


@dataclass(frozen=True, kw_only=True)
class Law:
    """One of `SCALED`, with the ``values`` of its arguments, called on a tensor of ``shape``."""

    call: str
    shape: tuple[int, ...]
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def nonlinearity(self) -> str:
        """What the caller named, "" for Xavier's initialisers, which take a number."""
        return str(self.values.get("nonlinearity", "")) if self.is_kaiming else ""

    @property
    def is_kaiming(self) -> bool:
        """Whether one fan counts, and not the mean of both."""
        return self.call.startswith("kaiming")

    @property
    def gain(self) -> float:
        """The factor beside the fan, as torch.nn.init.calculate_gain has it."""
        if not self.is_kaiming:
            return _number(self.values.get("gain", 1.0))
        if self.nonlinearity == "leaky_relu":
            return math.sqrt(2 / (1 + _number(self.values.get("a", 0.0)) ** 2))
        return {"relu": math.sqrt(2), "tanh": 5 / 3, "selu": 0.75}.get(self.nonlinearity, 1.0)

    def fan(self, fans: Fans) -> float:
        """The fan that counts in this mode."""
        if not self.is_kaiming:
            return (fans.fan_in + fans.fan_out) / 2
        return fans.fan_out if self.values.get("mode") == "fan_out" else fans.fan_in

    @property
    def std(self) -> float:
        """The standard deviation of the draw."""
        return self.gain / math.sqrt(max(self.fan(Fans.of(self.shape)), 1))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 1.0
