"""What was seen of a training step: its calls, the gradients that were used, and the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_initcheck.evidence.layer_names import layer_of

ClipKind = Literal["", "norm", "value"]


@dataclass(kw_only=True)
class GradientUse:
    """One gradient that an optimiser took: in ``step()``, or at the end of a closure.

    Everything is keyed by the parameter's name. ``leftover`` is the norm of what an earlier use
    had left there, over that of the use's own backward; ``repeated`` are those whose gradient had
    been used before, without a backward in between, ``cleared`` those whose gradient was zeroed
    after its backward. ``cut`` tells how the gradient was made smaller by hand between backward
    and use, from ``raw`` to ``used``; ``key`` tells the optimisers apart.
    """

    key: int
    owner: str
    in_closure: bool
    had_backward: bool
    norms: dict[str, float] = field(default_factory=dict)
    leftover: dict[str, float] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()
    nonfinite: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    is_skipped: bool = False
    cut: ClipKind = ""
    raw: float = 0.0
    used: float = 0.0


@dataclass(frozen=True)
class Clip:
    """One call of a clipping function of torch: the gradient's norm before and after it."""

    before: float
    after: float
    is_scaled: bool = False


@dataclass(kw_only=True)
class StepCall:
    """One call of the step.

    ``modes`` holds ``model.training`` at every forward with gradients; ``still`` and ``lively``
    are the modules that ran in eval and in training mode.
    """

    loss: float | None = None
    uses: list[GradientUse] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    modes: set[bool] = field(default_factory=set)
    still: set[str] = field(default_factory=set)
    lively: set[str] = field(default_factory=set)
    starts_in_training: bool = True
    backwards: int = 0
    ends_with_backward: bool = False
    is_discarding: bool = False
    is_overflowing: bool = False
    is_scaled: bool = False
    is_unscaled: bool = False

    @property
    def taken(self) -> list[GradientUse]:
        """The uses that a scaler did not skip."""
        return [use for use in self.uses if not use.is_skipped]

    @property
    def skips(self) -> int:
        """How often a scaler skipped an optimiser's step."""
        return len(self.uses) - len(self.taken)


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What is known of one parameter after the calls.

    ``starts_at`` is 1 where every element started at one, else None. ``pull`` is learning rate
    times decay, for one step; ``outrun`` is what decay moved over what all else moved.
    ``held`` is whether some optimiser holds it.
    """

    name: str
    shape: tuple[int, ...]
    is_norm: bool
    trainable: bool
    reached: bool
    moved: bool
    held: bool
    rate: float | None = None
    starts_at: int | None = None
    pull: float = 0.0
    outrun: float = 0.0

    @property
    def layer(self) -> str:
        """The module that it belongs to, or its own name at the root."""
        return layer_of(self.name)

    @property
    def is_bias(self) -> bool:
        """Whether it is called one."""
        return "bias" in self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Stranger:
    """A tensor that an optimiser holds and the model does not."""

    shape: tuple[int, ...]
    trainable: bool
    reached: bool
    moved: bool


@dataclass(frozen=True, kw_only=True)
class StepObservations:
    """All that the checks read.

    ``eval_matters`` are the modules, by name, that do another thing in eval mode, ``containers``
    those that hold others, with what drops values out in them; ``twice`` are the parameters that
    one optimiser holds more than once; ``is_warming`` is whether a scheduler is at the learning
    rates.
    """

    calls: list[StepCall]
    weights: dict[str, Weight]
    strangers: list[Stranger]
    eval_matters: tuple[str, ...] = ()
    containers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    twice: tuple[str, ...] = ()
    is_warming: bool = False

    @property
    def uses(self) -> list[GradientUse]:
        """Every gradient that an optimiser took, in order."""
        return [use for call in self.calls for use in call.taken]


def layers(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The modules of parameters, each once."""
    return tuple(dict.fromkeys(map(layer_of, names)))
